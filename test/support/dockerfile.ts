/** What a Dockerfile says, read for tests: its stages, and the image that the last one makes. */

/** One instruction, `COPY src ./src`; variables of `ARG` before the first stage are replaced in `FROM`. */
export interface Instruction {
  /** In capitals. */
  readonly name: string;
  /** What follows, on one line. */
  readonly rest: string;
}

/** From one FROM to the next. */
export interface Stage {
  readonly base: string;
  /** `AS build`; empty without one. */
  readonly name: string;
  readonly instructions: readonly Instruction[];
}

/** What a COPY does. */
export interface Copy {
  /** The stage it copies from; empty for the context of the build. */
  readonly from: string;
  readonly sources: readonly string[];
  readonly target: string;
}

/** What the last stage makes. */
export interface Image {
  readonly base: string;
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly healthcheck: readonly string[];
  readonly stopSignal: string;
  readonly ports: readonly number[];
  readonly env: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly copies: readonly Copy[];
}

/** The stages in their order. Throws where it is none of the Dockerfiles that this understands. */
export function stagesOf(text: string): Stage[] {
  const args = new Map<string, string>();
  const stages: { base: string; name: string; instructions: Instruction[] }[] = [];
  for (const instruction of instructionsOf(text)) {
    const stage = stages.at(-1);
    if (instruction.name === "FROM") {
      const [base = "", as, name = ""] = instruction.rest.split(/\s+/);
      if (as !== undefined && as.toUpperCase() !== "AS") throw new Error(`cannot read FROM ${instruction.rest}`);
      stages.push({
        base: base.replace(/\$\{(\w+)\}/g, (_, arg: string) => wanted(args, arg)),
        name,
        instructions: [],
      });
    } else if (stage !== undefined) {
      stage.instructions.push(instruction);
    } else {
      const arg = /^(\w+)=(\S+)$/.exec(instruction.rest);
      if (instruction.name !== "ARG" || arg === null) throw new Error(`${instruction.name} before the first FROM`);
      args.set(arg[1]!, arg[2]!);
    }
  }
  return stages;
}

/** What the last stage makes, by its own instructions: what its base says is not known. */
export function imageOf(text: string): Image {
  const stage = stagesOf(text).at(-1);
  if (stage === undefined) throw new Error("a Dockerfile without FROM");
  const all = (name: string): string[] => stage.instructions.filter((it) => it.name === name).map(({ rest }) => rest);
  const last = (name: string): string => all(name).at(-1) ?? "";
  const healthcheck = /^(?:--\S+\s+)*CMD\s+(\[.*\])$/.exec(last("HEALTHCHECK"))?.[1] ?? "";
  return {
    base: stage.base,
    user: last("USER"),
    entrypoint: words(last("ENTRYPOINT")),
    command: words(last("CMD")),
    healthcheck: words(healthcheck),
    stopSignal: last("STOPSIGNAL"),
    ports: all("EXPOSE").flatMap((ports) => ports.split(/\s+/).map((port) => Number(port.replace("/tcp", "")))),
    env: Object.assign({}, ...all("ENV").map(pairs)) as Record<string, string>,
    labels: Object.assign({}, ...all("LABEL").map(pairs)) as Record<string, string>,
    copies: copiesOf(stage),
  };
}

/** The COPY instructions of a stage. */
export function copiesOf(stage: Stage): Copy[] {
  return stage.instructions
    .filter(({ name }) => name === "COPY")
    .map(({ rest }) => {
      const parts = rest.split(/\s+/);
      const from = parts.find((part) => part.startsWith("--from="))?.slice("--from=".length) ?? "";
      const paths = parts.filter((part) => !part.startsWith("--"));
      return { from, sources: paths.slice(0, -1), target: paths.at(-1)! };
    });
}

/** Comments go, continued lines are joined. */
function instructionsOf(text: string): Instruction[] {
  const lines = text.split("\n").filter((line) => !/^\s*(?:#|$)/.test(line));
  const joined = lines.join("\n").replace(/\s*\\\n\s*/g, " ");
  return joined.split("\n").map((line) => {
    const [, name, rest] = /^\s*([A-Za-z]+)\s+(.*?)\s*$/.exec(line) ?? [];
    if (name === undefined || rest === undefined) throw new Error(`no instruction of a Dockerfile: ${line}`);
    return { name: name.toUpperCase(), rest };
  });
}

/** The form without a shell alone: there is none in the image. */
function words(form: string): string[] {
  if (form === "") return [];
  const parsed: unknown = form.startsWith("[") ? JSON.parse(form) : undefined;
  if (!Array.isArray(parsed)) throw new Error(`wanted the form ["…"], which needs no shell: ${form}`);
  return parsed.map(String);
}

/** `A=b C="d e" F=` */
function pairs(text: string): Record<string, string> {
  const found = [...text.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S*))/g)];
  return Object.fromEntries(found.map(([, name, quoted, plain]) => [name!, quoted ?? plain ?? ""]));
}

function wanted(args: ReadonlyMap<string, string>, name: string): string {
  const value = args.get(name);
  if (value === undefined) throw new Error(`FROM names \${${name}}, and there is no ARG for it`);
  return value;
}
