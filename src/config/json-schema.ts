/** The JSON Schema of the file, for editors: the valibot schema, with the declaration's sentences. */
import { toJsonSchema } from "@valibot/to-json-schema";
import { type Member, type Members } from "./declaration.ts";
import { declaration, fileSchema } from "./schema.ts";
import { child } from "./diagnostic.ts";

/** Describes what is written in the file: durations and addresses as strings, names as in TOML. */
export function configJsonSchema(): object {
  // What only code can check (addresses, names that must exist) has no counterpart in JSON Schema.
  const schema = toJsonSchema(fileSchema, { typeMode: "input", errorMode: "ignore" });
  describeMembers(declaration, schema);
  demandBackends(schema);
  return { ...schema, title: "sluice configuration", description: "The configuration file of sluice (TOML)." };
}

/** A listener has a backend, or routes that have. */
function demandBackends(schema: object): void {
  const listener = child(child(child(schema, "properties"), "listener"), "items") as object;
  Object.assign(listener, { anyOf: [{ required: ["backend"] }, { required: ["route"] }] });
}

function describeMembers(members: Members, schema: object): void {
  const properties = child(schema, "properties");
  for (const [name, member] of Object.entries(members)) {
    const property = child(properties, name);
    if (typeof property !== "object" || property === null) continue;
    Object.assign(property, { description: sentence(member) });
    if (member.sort !== "key")
      describeMembers(member.members, (child(property, "items") as object | undefined) ?? property);
    if (member.sort === "key" && member.element !== undefined) describeElements(member.element, property);
  }
}

function describeElements(members: Members, property: object): void {
  const forms = child(child(property, "items"), "anyOf");
  for (const form of Array.isArray(forms) ? forms : []) describeMembers(members, form);
}

function sentence(member: Member): string {
  const { doc, planned, startOnly }: { doc: string; planned?: true; startOnly?: true } = member;
  return `${doc}${startOnly ? " Read at start only." : ""}${planned ? " Not supported yet." : ""}`;
}
