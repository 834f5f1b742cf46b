/** DNS servers without a network: a test sees what they are asked, and answers when it likes. */
import type { Asking, NameServer, Reply, ServiceRecord } from "../../src/backend/names/name-server.ts";

/** A question that a server was asked. */
export interface ScriptedQuestion {
  readonly name: string;
  readonly type: "A" | "AAAA" | "SRV";
  cancelled: boolean;
  /** Answers it. Once; a later answer has no effect. */
  answer(reply: Reply<string> | Reply<ServiceRecord>): void;
}

/** Asked for `name`, the server gives what `answers` has under "A name", "AAAA name", "SRV name"; else it waits for the test. */
export class ScriptedNameServer implements NameServer {
  /** In the order in which they came. */
  readonly asked: ScriptedQuestion[] = [];
  readonly answers = new Map<string, Reply<string> | Reply<ServiceRecord>>();

  addresses(name: string, family: 4 | 6): Asking<string> {
    return this.#ask<string>(family === 4 ? "A" : "AAAA", name);
  }

  services(name: string): Asking<ServiceRecord> {
    return this.#ask<ServiceRecord>("SRV", name);
  }

  /** What was asked, as "A db.test". */
  get questions(): string[] {
    return this.asked.map(({ type, name }) => `${type} ${name}`);
  }

  #ask<T>(type: ScriptedQuestion["type"], name: string): Asking<T> {
    const { promise, resolve } = Promise.withResolvers<Reply<T>>();
    const answer = (reply: Reply<string> | Reply<ServiceRecord>): void => resolve(reply as Reply<T>);
    const question: ScriptedQuestion = { name, type, cancelled: false, answer };
    this.asked.push(question);
    const known = this.answers.get(`${type} ${name}`);
    if (known !== undefined) answer(known);
    return {
      reply: promise,
      cancel: () => {
        question.cancelled = true;
        answer({ kind: "failed", why: "taken back" });
      },
    };
  }
}

/** A reply with records. */
export function found<T>(...records: T[]): Reply<T> {
  return { kind: "found", records };
}

/** The reply that there is nothing. */
export const none = { kind: "none" } as const;

/** The reply of a server that is broken. */
export function failed(why = "SERVFAIL"): Reply<never> {
  return { kind: "failed", why };
}
