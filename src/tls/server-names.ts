/** Which certificate answers to which name: exact names, and wildcards for one label (RFC 6125, section 6.4.3). */

/** Names as certificates hold them, each with a value. */
export class ServerNames<T> {
  readonly #exact = new Map<string, T>();
  /** By what follows the asterisk's dot. */
  readonly #wildcards = new Map<string, T>();

  /** Adds a name in lower case, "a.test" or "*.a.test". One that is there already stays what it is. */
  add(name: string, value: T): void {
    const [names, key] = name.startsWith("*.") ? [this.#wildcards, name.slice(2)] : [this.#exact, name];
    if (!names.has(key)) names.set(key, value);
  }

  /** The value of a host name in lower case: an exact name goes before a wildcard. */
  find(name: string): T | undefined {
    const dot = name.indexOf(".");
    return this.#exact.get(name) ?? (dot > 0 ? this.#wildcards.get(name.slice(dot + 1)) : undefined);
  }
}
