/** A DNS server of the test's own, over UDP and TCP of one port: it answers from records set by hand, or fails as told. */
import type { Socket, udp } from "bun";
import {
  readQuestion,
  withLength,
  writeResponse,
  type DnsRecord,
  type Question,
  type RecordData,
  type RecordType,
  type Response,
} from "./dns-message.ts";
import { Waiting } from "./until.ts";

/**
 * How questions for a name fail.
 *
 * - `nxdomain`: there is no such name.
 * - `nodata`: the name is there, but has nothing of that type.
 * - `servfail`, `refused`: these response codes.
 * - `silent`: never an answer.
 * - `truncated`: over UDP nothing but the request to come again over TCP; over TCP the records.
 * - `cut_short`: the same, but over TCP the beginning of an answer and FIN.
 * - `stalled`: the same, but over TCP as if silent, until `release`; then the records.
 * - `garbage`: bytes that are no answer.
 * - `held`: as if silent, until `release`; then the records.
 */
export type Misbehaviour =
  | "nxdomain"
  | "nodata"
  | "servfail"
  | "refused"
  | "silent"
  | "truncated"
  | "cut_short"
  | "stalled"
  | "garbage"
  | "held";

/** A question as it arrived. */
export interface Asked {
  readonly name: string;
  readonly type: Question["type"];
  readonly over: "udp" | "tcp";
}

/** An A record. */
export function a(address: string, ttlS = 60): RecordData {
  return { type: "A", address, ttlS };
}

/** An AAAA record; the address without an IPv4 part. */
export function aaaa(address: string, ttlS = 60): RecordData {
  return { type: "AAAA", address, ttlS };
}

/** A CNAME record: it is followed within the server's own records. */
export function cname(target: string, ttlS = 60): RecordData {
  return { type: "CNAME", target, ttlS };
}

/** An SRV record; `target` "." is "there is no such service" (RFC 2782). */
export function srv(target: string, port: number, { priority = 0, weight = 0, ttlS = 60 } = {}): RecordData {
  return { type: "SRV", priority, weight, port, target, ttlS };
}

/** How often a port that UDP got is tried with TCP before it is given up. */
const bindAttemptsMax = 20;
/** How many CNAMEs are followed for one question. */
const aliasesMax = 8;

type Reply = (message: Uint8Array) => void;

/** Listens at once, on a free port of `host`. */
export async function dnsServer(host = "127.0.0.1"): Promise<DnsServer> {
  for (let attempt = 1; ; attempt++) {
    const server = new DnsServer(host);
    const datagrams = await Bun.udpSocket({
      hostname: host,
      socket: {
        data: (socket, message, port, from) => server.datagram(socket, message, port, from),
        // An asker that is gone is told here as well; Bun 1.4.5 gives the error alone, unlike its types.
        error: (...told: readonly unknown[]) => ignoreRefusal(told.at(-1)),
      },
    });
    try {
      server.listen(datagrams);
      return server;
    } catch (cause) {
      // TCP has the port taken by somebody else.
      datagrams.close();
      if (attempt === bindAttemptsMax) throw cause;
    }
  }
}

/** See `dnsServer`. Names are given in lower case, without a final dot. An unknown name has `nxdomain`. */
export class DnsServer implements Disposable {
  /** Every question so far, in order of arrival. */
  readonly asked: Asked[] = [];
  readonly #records = new Map<string, readonly RecordData[]>();
  readonly #misbehaviours = new Map<string, Misbehaviour>();
  readonly #held: { readonly question: Question; readonly reply: Reply }[] = [];
  readonly #connections = new Set<Socket<Received>>();
  readonly #waiting = new Waiting();
  #datagrams: udp.Socket<"buffer"> | undefined;
  #listener: { stop(closeActive: boolean): void } | undefined;
  #port = 0;

  /** Use `dnsServer`. */
  constructor(readonly host: string) {}

  get port(): number {
    return this.#port;
  }

  /** As `resolver.servers` takes it: `127.0.0.1:5353`, `[::1]:5353`. */
  get address(): string {
    return `${this.host.includes(":") ? `[${this.host}]` : this.host}:${this.#port}`;
  }

  /** The records of a name, in place of what it had. None at all: the name is there and has nothing (`nodata`). */
  set(name: string, ...records: RecordData[]): void {
    this.#records.set(name, records);
  }

  /** The name is no longer there. */
  delete(name: string): void {
    this.#records.delete(name);
  }

  /** From now on questions for `name`, of one type or of all, fail in this way; "not" at all when `how` is undefined. */
  fail(name: string, how: Misbehaviour | undefined, type: RecordType | "ANY" = "ANY"): void {
    const key = `${name} ${type}`;
    if (how === undefined) this.#misbehaviours.delete(key);
    else this.#misbehaviours.set(key, how);
  }

  /** Answers what was held back, each from the records of now, and holds nothing of `name` any more. */
  release(name: string): void {
    for (const [key, how] of this.#misbehaviours) {
      if ((how === "held" || how === "stalled") && key.startsWith(`${name} `)) this.#misbehaviours.delete(key);
    }
    for (const { question, reply } of this.#held.splice(0)) {
      if (question.name === name) reply(writeResponse(question, this.#fromRecords(question)));
      else this.#held.push({ question, reply });
    }
  }

  /** How many questions there were for a name, of one type or of all. */
  count(name: string, type?: Question["type"]): number {
    return this.asked.filter((asked) => asked.name === name && (type === undefined || asked.type === type)).length;
  }

  /** Resolves when there have been `times` questions for a name, of one type or of all. */
  wasAsked(name: string, times = 1, type?: Question["type"]): Promise<void> {
    return this.#waiting.hold(
      () => this.count(name, type) >= times,
      () => `${times} questions for ${name} (${type ?? "any type"}): ${JSON.stringify(this.asked)} came`,
    );
  }

  /** Forgets what was asked. */
  forget(): void {
    this.asked.length = 0;
  }

  [Symbol.dispose](): void {
    this.#datagrams?.close();
    this.#listener?.stop(true);
    for (const connection of this.#connections) connection.terminate();
  }

  /** Takes a bound socket and listens with TCP on its port; throws if that is taken. */
  listen(datagrams: udp.Socket<"buffer">): void {
    this.#listener = Bun.listen<Received>({
      hostname: this.host,
      port: datagrams.port,
      socket: {
        binaryType: "uint8array",
        open: (connection) => {
          connection.data = { bytes: new Uint8Array(0) };
          this.#connections.add(connection);
        },
        data: (connection, bytes) => this.#stream(connection, bytes as Uint8Array),
        close: (connection) => void this.#connections.delete(connection),
      },
    });
    this.#datagrams = datagrams;
    this.#port = datagrams.port;
  }

  /** A question over UDP. */
  datagram(socket: udp.Socket<"buffer">, message: Uint8Array, port: number, from: string): void {
    this.#message(message, "udp", (reply) => sendDatagram(socket, reply, port, from));
  }

  #stream(connection: Socket<Received>, bytes: Uint8Array): void {
    let all: Uint8Array = Buffer.concat([connection.data.bytes, bytes]);
    while (all.length >= 2 && all.length >= 2 + all[0]! * 256 + all[1]!) {
      const end = 2 + all[0]! * 256 + all[1]!;
      // An answer of a test fits into the send buffer.
      const reply = (message: Uint8Array): void => void connection.write(withLength(message));
      const cut = (): void => {
        connection.write(Uint8Array.of(1, 0, 5, 5, 5));
        connection.end();
      };
      this.#message(all.slice(2, end), "tcp", reply, cut);
      all = all.slice(end);
    }
    connection.data.bytes = all;
  }

  #message(message: Uint8Array, over: Asked["over"], reply: Reply, cut?: () => void): void {
    const question = readQuestion(message);
    if (question === undefined) return;
    this.asked.push({ name: question.name, type: question.type, over });
    this.#reply(question, over, reply, cut);
    this.#waiting.changed();
  }

  #reply(question: Question, over: Asked["over"], reply: Reply, cut?: () => void): void {
    const respond = (response: Response): void => reply(writeResponse(question, response));
    const { name, type } = question;
    const how = this.#misbehaviours.get(`${name} ${type}`) ?? this.#misbehaviours.get(`${name} ANY`);
    switch (how) {
      case undefined:
        return respond(this.#fromRecords(question));
      case "nodata":
        return respond({});
      case "nxdomain":
        return respond({ code: "NXDOMAIN" });
      case "servfail":
        return respond({ code: "SERVFAIL" });
      case "refused":
        return respond({ code: "REFUSED" });
      case "truncated":
        return respond(over === "udp" ? { truncated: true } : this.#fromRecords(question));
      case "cut_short":
        return over === "udp" ? respond({ truncated: true }) : cut?.();
      case "stalled":
        if (over === "udp") return respond({ truncated: true });
        this.#held.push({ question, reply });
        return;
      case "garbage":
        // The identifier is right, so that it is taken for the answer; what follows has no sense.
        return reply(Uint8Array.of(question.id >> 8, question.id & 255, 0x85, 0x80, 0xff, 0xff, 0xff, 1, 2, 3));
      case "held":
        this.#held.push({ question, reply });
        return;
      case "silent":
        return;
    }
  }

  /** The records of the type that was asked, behind the CNAMEs that lead to them; the addresses of SRV targets in addition. */
  #fromRecords({ name, type }: Question): Response {
    if (!this.#records.has(name)) return { code: "NXDOMAIN" };
    const answers: DnsRecord[] = [];
    let owner = name;
    for (let aliases = 0; aliases < aliasesMax; aliases++) {
      const records = this.#records.get(owner) ?? [];
      const alias = type === "CNAME" ? undefined : records.find((record) => record.type === "CNAME");
      if (alias === undefined) {
        answers.push(...records.filter((record) => record.type === type).map((record) => ({ ...record, name: owner })));
        break;
      }
      answers.push({ ...alias, name: owner });
      owner = alias.target;
    }
    return { answers, additional: answers.flatMap((answer) => this.#addressesOf(answer)) };
  }

  #addressesOf(answer: DnsRecord): DnsRecord[] {
    if (answer.type !== "SRV") return [];
    const records = this.#records.get(answer.target) ?? [];
    return records
      .filter((record) => record.type === "A" || record.type === "AAAA")
      .map((record) => ({ ...record, name: answer.target }));
  }
}

/** An asker that is gone makes one of the next calls fail, whoever that one is for (Bun 1.4.5): the second try is for this one. */
function sendDatagram(socket: udp.Socket<"buffer">, message: Uint8Array, port: number, to: string): void {
  for (let attempt = 1; attempt <= 2; attempt++) {
    try {
      socket.send(message, port, to);
      return;
    } catch (error) {
      ignoreRefusal(error);
    }
  }
}

function ignoreRefusal(error: unknown): void {
  if ((error as { code?: unknown }).code !== "ECONNREFUSED") throw error;
}

/** What came over a connection and is not yet a whole message. */
interface Received {
  bytes: Uint8Array;
}
