/** A program for the admin server that does nothing but remember, and the admin server in front of it, on a real socket. */
import { answer, type AdminOptions } from "../../src/admin/admin-server.ts";
import type { AdminPort, ConnectionStatus, EndpointChange, ReloadOutcome } from "../../src/admin/admin-port.ts";
import { History } from "../../src/admin/dashboard/history.ts";
import type { ProgramFigures } from "../../src/admin/figures.ts";
import { serveHttp } from "../../src/admin/http-server.ts";
import type { EndpointStatus, Status } from "../../src/admin/status.ts";
import { systemClock, type Clock } from "../../src/core/clock.ts";

/** What it is asked is kept; what it answers can be set. */
export class FakePort implements AdminPort {
  ready = true;
  shutdowns = 0;
  reloads = 0;
  readonly changes: [string, string, EndpointChange][] = [];
  readonly closed: number[] = [];
  open: ConnectionStatus[] = [];
  /** How often the status was asked for. */
  statuses = 0;
  /** How many connections were looked at. */
  made = 0;
  backends: Record<string, string[]> = { app: ["10.0.0.1:80", "[::1]:80", "unix:/run/x.sock"], "a b/ü": ["h:1"] };
  reloading: () => Promise<ReloadOutcome> = () => Promise.resolve({ kind: "refused", why: "there is no file" });

  status(): Status {
    this.statuses++;
    return {
      version: "1.2.3",
      bun: "1.4.5",
      pid: 1,
      uptime_ms: 5,
      state: "ready",
      shutdown: null,
      ready: this.ready,
      connections_active: this.open.length,
      limits: { connections: 10, overflow: "queue", fds: 1024 },
      listeners: [],
      backends: Object.entries(this.backends).map(([name, addresses]) => ({
        name,
        available: true,
        endpoints: addresses.map((address) => this.endpoint(name, address)),
      })),
      ended: {},
      reloads: { applied: 0, invalid: 0, refused: 0 },
    };
  }

  /** As the last change has left it. */
  endpoint(backend: string, address: string): EndpointStatus {
    const changes = this.changes.filter((change) => change[0] === backend && change[1] === address);
    const { state = "ready", weight = 1 }: EndpointChange = Object.assign({}, ...changes.map((change) => change[2]));
    return { address, state, weight } as EndpointStatus;
  }

  figures(): ProgramFigures {
    return {
      ready: this.ready,
      state: "ready",
      drainRemainingMs: undefined,
      version: "1.2.3",
      listeners: [],
      backends: [],
      timeouts: new Map(),
      engines: { copy: 0, splice: 0 },
      reloads: { applied: 0, invalid: 0, refused: 0 },
      traces: undefined,
      descriptors: { open: 10, max: 1024 },
      connectionsMax: 100,
    };
  }

  *connections(): Iterable<ConnectionStatus> {
    for (const connection of this.open) {
      this.made++;
      yield connection;
    }
  }

  closeConnection(id: number): boolean {
    this.closed.push(id);
    return this.open.some((connection) => connection.id === id);
  }

  changeEndpoint(backend: string, endpoint: string, change: EndpointChange): "changed" | "no_backend" | "no_endpoint" {
    const addresses = Object.hasOwn(this.backends, backend) ? this.backends[backend] : undefined;
    if (addresses === undefined) return "no_backend";
    if (!addresses.includes(endpoint)) return "no_endpoint";
    this.changes.push([backend, endpoint, change]);
    return "changed";
  }

  reload(): Promise<ReloadOutcome> {
    this.reloads++;
    return this.reloading();
  }

  requestShutdown(): void {
    this.shutdowns++;
  }

  /** How often something was changed, or tried to be. */
  get touched(): number {
    return this.shutdowns + this.reloads + this.changes.length + this.closed.length;
  }
}

/** An open connection; what is not said is as usual. */
export function connectionStatus(id: number, known: Partial<ConnectionStatus> = {}): ConnectionStatus {
  return {
    id,
    listener: "web",
    client: `192.0.2.${id % 250}:${10_000 + (id % 50_000)}`,
    backend: "app",
    endpoint: "10.0.0.1:80",
    route: null,
    sni: null,
    phase: "forwarding",
    age_ms: 1_000,
    idle_ms: 10,
    bytes_to_backend: 100,
    bytes_to_client: 2_000,
    engine: "copy",
    ...known,
  };
}

/** Answers without a socket; a mistake is thrown here, and fails the test. */
export async function ask(
  path: string,
  { port = new FakePort(), token = "", clock = systemClock, onMistake = rethrow, ...init }: AskOptions = {},
): Promise<Response> {
  const options: AdminOptions = { token, clock, onMistake, history: new History(() => port.figures(), clock) };
  return answer(new Request(`http://admin${path}`, init), port, options);
}

/** What is asked, of whom. */
export interface AskOptions extends RequestInit {
  port?: AdminPort;
  token?: string;
  clock?: Clock;
  onMistake?: (error: Error) => void;
}

/** The admin server on a free port of loopback. */
export class ServedAdmin {
  readonly port: AdminPort;
  /** Mistakes that it has told of. */
  readonly mistakes: Error[] = [];
  readonly #history: History;
  readonly #server: ReturnType<typeof serveHttp>;

  constructor(port: AdminPort, { token = "", clock = systemClock }: Partial<AdminOptions> = {}) {
    this.port = port;
    this.#history = new History(() => port.figures(), clock);
    this.#history.start();
    const options = { token, history: this.#history, onMistake: (error: Error) => void this.mistakes.push(error) };
    this.#server = serveHttp("admin server", { host: "127.0.0.1", port: 0 }, (request) =>
      answer(request, port, options),
    );
  }

  get url(): string {
    return `http://${this.#server.address}`;
  }

  /** For connections whose bytes are chosen one by one. */
  get tcpPort(): number {
    return Number(this.#server.address.split(":")[1]);
  }

  /** Ends what event streams tell of. */
  endHistory(): void {
    this.#history.stop();
  }

  /** Leaves the history running. */
  stop(): Promise<void> {
    return this.#server.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.endHistory();
    await this.stop();
  }
}

function rethrow(error: Error): never {
  throw error;
}
