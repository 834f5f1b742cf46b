/** The names that the machine itself knows: /etc/hosts, as hosts(5) describes it. */
import { canonicalHost } from "../../core/address.ts";
import { isPlainIp } from "./name.ts";

/** Gives the text of a file, `undefined` when there is none or it can't be read. Never rejects. */
export type ReadText = (path: string) => Promise<string | undefined>;

/** What of a file is read; lines beyond it are not seen. */
export const fileBytesMax = 1024 * 1024;

/** Reads the beginning of a file of the machine. */
export const readText: ReadText = async (path) => {
  try {
    return await Bun.file(path).slice(0, fileBytesMax).text();
  } catch {
    return undefined;
  }
};

/** Addresses by name, each name in lower case and without a final dot. */
export type Hosts = ReadonlyMap<string, readonly string[]>;

/** The file, read anew for each question, so that a change is seen; taken apart only when its text has changed. */
export class HostsFile {
  readonly #path: string;
  readonly #read: ReadText;
  #text: string | undefined;
  #hosts: Hosts = new Map();

  constructor(path: string, read: ReadText) {
    this.#path = path;
    this.#read = read;
  }

  /** The addresses of a name in canonical spelling; empty when the file doesn't have it. */
  async addressesOf(canonicalName: string): Promise<readonly string[]> {
    const text = await this.#read(this.#path);
    if (text !== this.#text) {
      this.#text = text;
      this.#hosts = parseHosts(text ?? "");
    }
    return this.#hosts.get(canonicalName) ?? [];
  }
}

/** Takes the text of a hosts file apart. Lines that don't begin with an IP address are passed over, as everybody does. */
export function parseHosts(text: string): Hosts {
  const hosts = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [address = "", ...names] = line.replace(/#.*$/, "").trim().split(/\s+/);
    if (!isPlainIp(address)) continue;
    for (const name of names.map(canonicalHost)) {
      const known = hosts.get(name);
      if (known === undefined) hosts.set(name, [canonicalHost(address)]);
      else if (!known.includes(canonicalHost(address))) known.push(canonicalHost(address));
    }
  }
  return hosts;
}
