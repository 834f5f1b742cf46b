/** Enough of JSON Schema to hold values against the one that `sluice schema` prints. */

/** The parts of JSON Schema that ours has. */
export interface Schema {
  $schema?: string;
  title?: string;
  default?: unknown;
  examples?: unknown[];
  type?: string;
  enum?: unknown[];
  const?: unknown;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  minLength?: number;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean;
  items?: Schema;
  anyOf?: Schema[];
  description?: string;
}

/** The part that describes a key, looked for in the entries of lists as well. */
export function at(schema: Schema, path: string): Schema {
  let part: Schema | undefined = schema;
  for (const name of path.split(".")) part = (part?.items ?? part)?.properties?.[name];
  if (part === undefined) throw new Error(`the JSON Schema has no ${path}`);
  return part;
}

/** Where a value does not fit a schema: enough of a validator for {@link Schema}, and no more. */
export function misfits(schema: Schema, value: unknown, path = ""): string[] {
  if (schema.anyOf !== undefined && !schema.anyOf.some((form) => misfits(form, value).length === 0)) {
    const demanded = schema.anyOf.flatMap((form) => (form.type === undefined ? (form.required ?? []) : []));
    return [demanded.length === 0 ? `${path} has no form` : `${path} has none of ${demanded.join(", ")}`];
  }
  if (schema.enum !== undefined && !schema.enum.includes(value))
    return [`${path} is none of ${schema.enum.join(", ")}`];
  if (schema.const !== undefined && schema.const !== value) return [`${path} is not ${String(schema.const)}`];
  switch (schema.type) {
    case undefined:
      return missingIn(schema, value, path);
    case "integer":
    case "number":
      if (typeof value !== "number" || (schema.type === "integer" && !Number.isInteger(value))) break;
      if (value < (schema.minimum ?? -Infinity)) return [`${path} is less than ${schema.minimum}`];
      return value > (schema.maximum ?? Infinity) ? [`${path} is more than ${schema.maximum}`] : [];
    case "string":
      if (typeof value !== "string") break;
      if (value.length < (schema.minLength ?? 0)) return [`${path} is shorter than ${schema.minLength}`];
      return new RegExp(schema.pattern ?? "").test(value) ? [] : [`${path} does not match`];
    case "array":
      if (!Array.isArray(value)) break;
      if (value.length < (schema.minItems ?? 0)) return [`${path} has fewer than ${schema.minItems}`];
      return value.flatMap((item, index) => misfits(schema.items ?? {}, item, `${path}/${index}`));
    case "object": {
      if (typeof value !== "object" || value === null || Array.isArray(value)) break;
      const inside = Object.entries(value).flatMap(([name, part]) => {
        const known = schema.properties?.[name];
        if (known !== undefined) return misfits(known, part, `${path}/${name}`);
        return schema.additionalProperties === false ? [`${path}/${name} is unknown`] : [];
      });
      return [...missingIn(schema, value, path), ...inside];
    }
    default:
      return typeof value === schema.type ? [] : [`${path} is no ${schema.type}`];
  }
  return [`${path} is no ${schema.type}`];
}

function missingIn(schema: Schema, value: unknown, path: string): string[] {
  const missing = (schema.required ?? []).filter((name) => !Object.hasOwn(Object(value), name));
  return missing.map((name) => `${path}/${name} is missing`);
}
