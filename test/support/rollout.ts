/** What a rollout of the real program is made of: generations of it, and clients that never stop asking. */
import { listen, type Backend } from "./backend.ts";
import type { KubeEndpoints, Pod } from "./kube-endpoints.ts";
import type { Peer } from "./peer.ts";
import { startSluice, type Sluice } from "./sluice.ts";
import { pause, until, Waiting } from "./until.ts";

/** Between two requests of a client. */
const paceMs = 5;

/** A generation of the program: what runs in a pod. */
export interface Generation {
  readonly pod: Pod;
  readonly program: Sluice;
}

/** Starts the next one, on ports of its own, in front of `backend`. */
export async function startGeneration(number: number, backend: string, delay: string): Promise<Generation> {
  const program = await startSluice({
    config: `
[limits]
connections = 200

[shutdown]
delay = "${delay}"
drain = "20s"

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"

[[backend]]
name = "app"
endpoints = ["${backend}"]

[admin]
listen = "127.0.0.1:0"
`,
  });
  const pod = {
    name: `generation ${number}`,
    port: await program.port("web"),
    readiness: `${await program.adminUrl()}/readyz`,
  };
  return { pod, program };
}

/** The service behind the proxy: answers a line with a line; a line that begins with `hold` when `release` is called. */
export class Application {
  readonly backend: Promise<Backend>;
  /** How many answers are held back now. */
  held = 0;
  readonly #waiting = new Waiting();
  #released = 0;

  constructor() {
    this.backend = listen((peer) => this.#serve(peer));
  }

  /** Lets everything go that is held. */
  release(): void {
    this.#released++;
    this.#waiting.changed();
  }

  async #serve(peer: Peer): Promise<void> {
    let request = "";
    for await (const chunk of peer.chunks()) {
      request += new TextDecoder().decode(chunk);
      if (request.endsWith("\n")) break;
    }
    if (request.startsWith("hold")) {
      const released = this.#released;
      // The first half of the answer is on its way while the second one is waited for.
      await peer.send(request.slice(0, 2));
      this.held++;
      await this.#waiting.hold(
        () => this.#released > released,
        () => "a held answer to be released",
      );
      this.held--;
      await peer.send(request.slice(2));
    } else {
      await peer.send(request);
    }
    await peer.finish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.backend)[Symbol.asyncDispose]();
  }
}

/** Clients, each with one request after the other, every one on a connection of its own. Ends with its scope. */
export class Clients {
  /** Requests that were answered whole and right, by the pod that they went to. */
  readonly served = new Map<string, number>();
  /** What was wrong with each that was not. */
  readonly failures: string[] = [];
  readonly #endpoints: KubeEndpoints;
  readonly #loops: Promise<void>[];
  #stopped = false;
  #count = 0;

  constructor(endpoints: KubeEndpoints, clients: number) {
    this.#endpoints = endpoints;
    this.#loops = Array.from({ length: clients }, () => this.#loop());
  }

  /** Requests that this pod has answered. */
  servedBy(pod: Pod): number {
    return this.served.get(pod.name) ?? 0;
  }

  /** Resolves when a pod has served so many more. */
  async moreFrom(pod: Pod, count: number): Promise<void> {
    const before = this.servedBy(pod);
    await until(
      () => this.servedBy(pod) >= before + count,
      () => `${pod.name} to serve ${count} requests: ${this.servedBy(pod) - before} were served`,
    );
  }

  /** One request, in whatever time it takes. `word` is what the application goes by. */
  async request(word: string, pod: Pod = this.#endpoints.pick()): Promise<void> {
    const line = `${word} ${this.#count++}\n`;
    const wrong = await exchange(pod.port, line);
    if (wrong === undefined) this.served.set(pod.name, this.servedBy(pod) + 1);
    else this.failures.push(`${pod.name}: ${line.trim()}: ${wrong}`);
  }

  /** Asks no more, once what is under way is answered. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#loops);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      await this.request("quick");
      // As many as can be had would use up the ports of this machine within a minute.
      await pause(paceMs);
    }
  }
}

/** Sends a line on a new connection and wants it back, then a FIN; otherwise what was wrong. */
function exchange(port: number, line: string): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  let received = "";
  let finished = false;
  const connecting = Bun.connect({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: {
      open: (socket) => void socket.write(line),
      data: (_, chunk) => {
        received += chunk.toString();
      },
      end: (socket) => {
        finished = true;
        socket.end();
      },
      close: () => {
        if (!finished) resolve(`reset after ${JSON.stringify(received)}`);
        else resolve(received === line ? undefined : `received ${JSON.stringify(received)}`);
      },
      error: (_, error) => resolve(`failed: ${error.message}`),
      connectError: (_, error) => resolve(`cannot connect: ${error.message}`),
    },
  });
  connecting.catch((error: unknown) => resolve(`cannot connect: ${String(error)}`));
  return promise;
}
