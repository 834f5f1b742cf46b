/** Free ports, for servers that take no port 0. */
import { listen } from "./backend.ts";

/** Ports by what they are for. */
export type Ports<Name extends string> = Readonly<Record<Name, number>>;

/**
 * Starts a server that takes no port 0: on ports that are free, and on others when somebody took one meanwhile. `begin`
 * gives nothing when that may be so.
 */
export async function onFreePorts<Name extends string, T>(
  names: readonly Name[],
  begin: (ports: Ports<Name>) => Promise<T | undefined>,
): Promise<T> {
  for (let turn = 1; turn <= 5; turn++) {
    const started = await begin(await freePorts(names));
    if (started !== undefined) return started;
  }
  throw new Error("no server could be started on five sets of free ports");
}

/** Ports of 127.0.0.1 that nobody has at the moment, no two the same. */
async function freePorts<Name extends string>(names: readonly Name[]): Promise<Ports<Name>> {
  await using held = new AsyncDisposableStack();
  const ports: Partial<Record<Name, number>> = {};
  for (const name of names) ports[name] = held.use(await listen()).port;
  return ports as Record<Name, number>;
}
