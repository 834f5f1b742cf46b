/** The real program as its operator has it: a configuration in pieces, and everything that the admin server can be asked. */
import { expect } from "bun:test";
import type { ConnectionStatus } from "../../src/admin/admin-port.ts";
import type { EndpointStatus, ListenerStatus, Status } from "../../src/admin/status.ts";
import { readExposition } from "./exposition.ts";
import { onFreePorts } from "./free-ports.ts";
import { connect, type Peer } from "./peer.ts";
import { startSluice, type Sluice, type Surroundings } from "./sluice.ts";

/** `[[listener]]`; `keys` are further lines of it. */
export function listenerText(name: string, backend: string, keys = "", listen = "127.0.0.1:0"): string {
  return `[[listener]]\nname = "${name}"\nlisten = "${listen}"\nbackend = "${backend}"\n${keys}\n`;
}

/** `[[backend]]`; `keys` are further lines of it. An endpoint that is a table in TOML is taken as it is. */
export function backendText(name: string, endpoints: readonly string[], keys = ""): string {
  const list = endpoints.map((one) => (one.startsWith("{") ? one : JSON.stringify(one)));
  return `[[backend]]\nname = "${name}"\nendpoints = [${list.join(", ")}]\n${keys}\n`;
}

/** The admin server, on a free port. */
export const adminText = '[admin]\nlisten = "127.0.0.1:0"\n';

/** What the admin server answered. */
export interface Answer {
  readonly code: number;
  readonly body: Record<string, unknown>;
}

/** A running program and its admin server. At the end of its scope it is killed. */
export class Operated {
  readonly program: Sluice;
  readonly url: string;
  /** Sent with every request. */
  token = "";

  private constructor(program: Sluice, url: string) {
    this.program = program;
    this.url = url;
  }

  /** Resolves when it is ready. The configuration is to have an admin server. */
  static async start(config: string, surroundings: Surroundings = {}): Promise<Operated> {
    const program = await startSluice({ ...surroundings, config });
    await program.ready();
    return new Operated(program, await program.adminUrl());
  }

  /** One request, over a connection that does not stay open. */
  async ask(method: string, path: string, body?: unknown): Promise<Answer> {
    const headers: Record<string, string> = { connection: "close" };
    if (this.token !== "") headers["authorization"] = `Bearer ${this.token}`;
    const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    const response = await fetch(`${this.url}${path}`, init);
    return { code: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  async status(): Promise<Status> {
    return (await this.ask("GET", "/status")).body as unknown as Status;
  }

  /** The row of a listener that is configured. */
  async listener(name: string): Promise<ListenerStatus> {
    return (await this.status()).listeners.find((one) => one.name === name && !one.removed)!;
  }

  /** The row of an endpoint. */
  async endpoint(backend: string, address: string): Promise<EndpointStatus> {
    const { backends } = await this.status();
    return backends.find(({ name }) => name === backend)!.endpoints.find((one) => one.address === address)!;
  }

  /** Connections that are open, oldest first. */
  async connections(query = ""): Promise<ConnectionStatus[]> {
    const { body } = await this.ask("GET", `/connections${query}`);
    return body["connections"] as ConnectionStatus[];
  }

  close(id: number): Promise<Answer> {
    return this.ask("DELETE", `/connections/${id}`);
  }

  put(backend: string, address: string, change: unknown): Promise<Answer> {
    return this.ask("PUT", `/backends/${backend}/endpoints/${address}`, change);
  }

  /** The samples of a metric by their labels, `listener="web",end="denied"`; only those above zero. */
  async metric(name: string): Promise<Map<string, number>> {
    const headers: Record<string, string> = this.token === "" ? {} : { authorization: `Bearer ${this.token}` };
    const text = await (await fetch(`${this.url}/metrics`, { headers })).text();
    const samples = readExposition(text).get(name)?.samples ?? [];
    return new Map(
      samples
        .filter(({ value }) => value > 0)
        .map(({ labels, value }) => [
          Object.entries(labels)
            .map(([label, of]) => `${label}="${of}"`)
            .join(","),
          value,
        ]),
    );
  }

  port(listener: string): Promise<number> {
    return this.program.port(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}

/** A port of 127.0.0.1 that nobody has at the moment. */
export function freePort(): Promise<number> {
  return onFreePorts(["it"], ({ it }) => Promise.resolve(it));
}

/** Connects to an echo and waits until the word is back. */
export async function visit(port: number, word = "x"): Promise<Peer> {
  const client = await connect(port);
  await roundTrip(client, word);
  return client;
}

/** Sends a word to an echo and waits until it is back. */
export async function roundTrip(client: Peer, word: string): Promise<void> {
  const before = client.received;
  await client.send(word);
  await client.receivedBytes(before + word.length);
  expect(client.text()).toEndWith(word);
}

/** Finishes, and waits for the other side to. */
export async function endOf(client: Peer): Promise<void> {
  await client.finish();
  await client.finished();
}

/** A connection that is reset as soon as it is accepted. */
export async function refusedAt(port: number): Promise<void> {
  await using client = await connect(port);
  expect(await client.wasReset()).toBe("ECONNRESET");
}
