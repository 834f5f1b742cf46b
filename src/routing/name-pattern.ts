/** Patterns for names of hosts: a name, or "*." and a name for all its subdomains. */
import { canonicalHost, isIp, parseAddress } from "../core/address.ts";
import type { Parsed } from "../core/result.ts";

/** Names compare without regard to letter case and a final dot. Internationalized names are compared as they are sent, as "xn--…". */
export class NamePattern {
  /** The canonical name; for a wildcard with the dot in front. */
  readonly #name: string;
  readonly #wildcard: boolean;

  private constructor(name: string, wildcard: boolean) {
    this.#name = name;
    this.#wildcard = wildcard;
  }

  /** Reads "example.com" or "*.example.com", and with `addresses` "192.0.2.1" and "[2001:db8::1]" too. */
  static parse(text: string, { addresses }: { addresses: boolean }): Parsed<NamePattern> {
    const wildcard = text.startsWith("*.");
    const name = wildcard ? text.slice(2) : text;
    const example = `such as "example.com" or "*.example.com"`;
    if (name.includes("*")) {
      return { ok: false, wanted: `a name, or "*." and a name for all its subdomains, ${example}` };
    }
    if (/[^\0-\x7f]/.test(name)) return { ok: false, wanted: `a name in ASCII (others as "xn--…"), ${example}` };
    const canonical = canonicalName(name);
    if (isIp(canonical)) {
      if (addresses && !wildcard) return { ok: true, value: new NamePattern(canonical, false) };
      return { ok: false, wanted: `a name, not an address, ${example}` };
    }
    if (isName(name)) return { ok: true, value: new NamePattern(wildcard ? `.${canonical}` : canonical, wildcard) };
    const why = isName(name.replace(/:[0-9]*$/, "")) ? " without a port" : "";
    return { ok: false, wanted: `a name${why}, ${example}` };
  }

  /** Whether it takes `name`, in lower case and otherwise as `canonicalHost` spells it. A wildcard takes subdomains of any depth, not the name itself. */
  matches(name: string): boolean {
    if (!this.#wildcard) return name === this.#name;
    return name.length > this.#name.length && name.endsWith(this.#name);
  }

  /** Whether it takes every name that `other` takes. */
  covers(other: NamePattern): boolean {
    if (!other.#wildcard) return this.matches(other.#name);
    return this.#wildcard && other.#name.endsWith(this.#name);
  }
}

/** What an endpoint may be called, a client may ask for. */
function isName(text: string): boolean {
  const address = parseAddress(`${text}:0`);
  return address.ok && address.value.kind === "tcp" && address.value.host !== "";
}

function canonicalName(host: string): string {
  return canonicalHost(host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host);
}
