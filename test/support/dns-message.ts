/** Messages of DNS on the wire (RFC 1035 section 4; AAAA: RFC 3596; SRV: RFC 2782), as far as a test's own server needs them. */

/** Types that are asked for and answered here; any other question is `OTHER`. */
export type RecordType = keyof typeof typeNumbers;

/** A record without its name. */
export type RecordData = { readonly ttlS: number } & (
  | { readonly type: "A" | "AAAA"; readonly address: string }
  | { readonly type: "CNAME"; readonly target: string }
  | {
      readonly type: "SRV";
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
);

/** A record of a name. */
export type DnsRecord = RecordData & { readonly name: string };

/** What a question asks. `name` is in lower case and without the final dot. */
export interface Question {
  readonly id: number;
  readonly name: string;
  readonly type: RecordType | "OTHER";
  /** The question section as it came: it goes back unchanged. */
  readonly section: Uint8Array;
}

/** How an answer went: the response codes of RFC 1035 section 4.1.1. */
export type ResponseCode = keyof typeof codeNumbers;

/** What is sent back. */
export interface Response {
  readonly code?: ResponseCode;
  readonly answers?: readonly DnsRecord[];
  readonly additional?: readonly DnsRecord[];
  /** The TC bit: the asker is to come again over TCP. */
  readonly truncated?: boolean;
}

const typeNumbers = { A: 1, CNAME: 5, AAAA: 28, SRV: 33 } as const;
const codeNumbers = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
const headerBytes = 12;
const classInternet = 1;

/** Reads a message with one question; `undefined` for anything else. */
export function readQuestion(message: Uint8Array): Question | undefined {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  if (message.length < headerBytes || view.getUint8(2) >= 0x80 || view.getUint16(4) !== 1) return undefined;
  const labels: string[] = [];
  let at = headerBytes;
  while (true) {
    const length = message[at++];
    // From 64 on it is a pointer, which a question has no use for.
    if (length === undefined || length >= 64 || at + length + 4 > message.length) return undefined;
    if (length === 0) break;
    labels.push(String.fromCharCode(...message.subarray(at, at + length)));
    at += length;
  }
  const number = view.getUint16(at);
  const type = (Object.keys(typeNumbers) as RecordType[]).find((word) => typeNumbers[word] === number) ?? "OTHER";
  const name = labels.join(".").toLowerCase();
  return { id: view.getUint16(0), name, type, section: message.slice(headerBytes, at + 4) };
}

/** Writes the answer to a question, without compression of names. */
export function writeResponse(question: Question, response: Response): Uint8Array {
  const { code = "NOERROR", answers = [], additional = [], truncated = false } = response;
  const header = new Uint8Array(headerBytes);
  const view = new DataView(header.buffer);
  view.setUint16(0, question.id);
  // A response, authoritative; recursion was desired and is available.
  view.setUint16(2, 0x8580 | (truncated ? 0x0200 : 0) | codeNumbers[code]);
  view.setUint16(4, 1);
  view.setUint16(6, answers.length);
  view.setUint16(10, additional.length);
  return Buffer.concat([header, question.section, ...[...answers, ...additional].map(recordBytes)]);
}

/** A message as it goes over TCP: behind its length (RFC 1035 section 4.2.2). */
export function withLength(message: Uint8Array): Uint8Array {
  return Buffer.concat([number16(message.length), message]);
}

function recordBytes(record: DnsRecord): Uint8Array {
  const data = dataBytes(record);
  return Buffer.concat([
    nameBytes(record.name),
    number16(typeNumbers[record.type]),
    number16(classInternet),
    number16(record.ttlS >>> 16),
    number16(record.ttlS & 0xffff),
    number16(data.length),
    data,
  ]);
}

function dataBytes(record: DnsRecord): Uint8Array {
  switch (record.type) {
    case "A":
      return Uint8Array.from(record.address.split(".").map(Number));
    case "AAAA":
      return ipv6Bytes(record.address);
    case "CNAME":
      return nameBytes(record.target);
    case "SRV":
      return Buffer.concat([...[record.priority, record.weight, record.port].map(number16), nameBytes(record.target)]);
  }
}

/** Labels, each behind its length; "" is the root. */
function nameBytes(name: string): Uint8Array {
  const labels = name.split(".").filter((label) => label !== "");
  return Buffer.concat([...labels.map((label) => Buffer.from([label.length, ...Buffer.from(label)])), Buffer.of(0)]);
}

function ipv6Bytes(address: string): Uint8Array {
  const [head = [], tail = []] = address.split("::").map((part) => part.split(":").filter((group) => group !== ""));
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => "0");
  return Buffer.concat([...head, ...zeros, ...tail].map((group) => number16(Number.parseInt(group, 16))));
}

function number16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 255);
}
