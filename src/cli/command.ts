/** A command of the command line, and how its arguments are read. */
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { didYouMean } from "../core/did-you-mean.ts";
import { UsageError, type CommandSurroundings } from "./surroundings.ts";

/** What `sluice NAME` does, and what is said about it. */
export interface Command {
  readonly name: string;
  readonly usage: string;
  /** What `sluice help NAME` says below the usage. */
  readonly help: string;
  /** Does it and returns the exit code. `args` are what follows the command's name. Throws a `UsageError`. */
  execute(args: readonly string[], surroundings: CommandSurroundings): Promise<number>;
}

/** Options and positional arguments of a command, at most `positionalsMax`; anything else is a `UsageError`. */
export function parseOptions<const Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: Options,
  positionalsMax: number,
) {
  refuseMistakes(args, options);
  const parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  const extra = parsed.positionals[positionalsMax];
  if (extra !== undefined) throw new UsageError(`unexpected argument "${extra}"`);
  return parsed;
}

/** Whatever `parseArgs` would throw for, before it does: in our words, and with what might have been meant. */
function refuseMistakes(args: readonly string[], options: ParseArgsOptionsConfig): void {
  const { tokens } = parseArgs({ args: [...args], options, allowPositionals: true, strict: false, tokens: true });
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const { name, rawName, value, inlineValue } = token;
    if (!Object.hasOwn(options, name)) {
      const known = Object.keys(options).map((option) => `--${option}`);
      throw new UsageError(`unknown option "${rawName}"${didYouMean(rawName, known)}`);
    }
    if (options[name]!.type === "boolean") {
      if (value !== undefined) throw new UsageError(`option "${rawName}" takes no value`);
    } else if (value === undefined || value === "") {
      throw new UsageError(`option "${rawName}" needs a value`);
    } else if (!inlineValue && /^-./.test(value)) {
      // The next option rather than a value, unless it is said otherwise.
      throw new UsageError(`option "${rawName}" needs a value (one that begins with "-": ${rawName}=VALUE)`);
    }
  }
}
