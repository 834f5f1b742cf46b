/**
 * Where new connections go while a Deployment is rolled, as in Kubernetes: every pod is asked for its readiness in turn, and what
 * is found reaches those who connect later (the endpoints of a Service, and the rules that kube-proxy makes of them). A connection
 * goes from the client straight to the pod that was picked.
 */
import { pause, until } from "./until.ts";

/** How a readiness probe is run, and how long its result is on its way. */
export interface ProbeSettings {
  readonly everyMs: number;
  /** Failed probes in a row until a pod is not ready. */
  readonly failures: number;
  /** From what a probe has found to what clients do. */
  readonly lagMs: number;
}

/** A pod as a Service sees it. */
export interface Pod {
  readonly name: string;
  /** Where clients are to connect to. */
  readonly port: number;
  /** `http://127.0.0.1:9900/readyz` */
  readonly readiness: string;
}

/** The endpoints of a Service. Ends with its scope. */
export class KubeEndpoints {
  readonly #settings: ProbeSettings;
  /** Those that clients are sent to. */
  readonly #listed = new Map<string, Pod>();
  readonly #probes = new Map<string, { stopped: boolean; done: Promise<void> }>();
  #turn = 0;

  constructor(settings: ProbeSettings) {
    this.#settings = settings;
  }

  /** Begins to ask a pod. */
  watch(pod: Pod): void {
    const probe = { stopped: false, done: Promise.resolve() };
    probe.done = this.#probe(pod, probe);
    this.#probes.set(pod.name, probe);
  }

  /** The pod is gone: it is asked no more, and somebody else may have its ports. */
  async forget(pod: Pod): Promise<void> {
    const probe = this.#probes.get(pod.name);
    if (probe === undefined) return;
    probe.stopped = true;
    await probe.done;
    this.#probes.delete(pod.name);
    this.#listed.delete(pod.name);
  }

  /** The pod for the next connection, each in its turn. There must be one: that there is none is what a rollout must not come to. */
  pick(): Pod {
    const pods = [...this.#listed.values()];
    const pod = pods[this.#turn++ % pods.length];
    if (pod === undefined) throw new Error("the Service has no endpoint");
    return pod;
  }

  /** Resolves when clients are sent to this pod. */
  async lists(pod: Pod): Promise<void> {
    await until(() => this.#listed.has(pod.name), `${pod.name} to be listed`);
  }

  /** Resolves when they are not. */
  async drops(pod: Pod): Promise<void> {
    await until(() => !this.#listed.has(pod.name), `${pod.name} to be listed no more`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const probe of this.#probes.values()) probe.stopped = true;
    await Promise.all([...this.#probes.values()].map(({ done }) => done));
  }

  async #probe(pod: Pod, own: { readonly stopped: boolean }): Promise<void> {
    let failures = 0;
    let wanted = false;
    while (!own.stopped) {
      const ready = await answersOk(pod.readiness);
      failures = ready ? 0 : failures + 1;
      const now: boolean = ready || (wanted && failures < this.#settings.failures);
      if (now !== wanted) {
        wanted = now;
        await pause(this.#settings.lagMs);
        if (now) this.#listed.set(pod.name, pod);
        else this.#listed.delete(pod.name);
      }
      await pause(this.#settings.everyMs);
    }
  }
}

async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { keepalive: false, signal: AbortSignal.timeout(1_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
