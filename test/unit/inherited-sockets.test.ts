/** Sockets that a service manager passes on: what its variables may say, what descriptors may be, who gets which. */
import { expect, test } from "bun:test";
import type { Address } from "../../src/core/address.ts";
import { SluiceError } from "../../src/core/error.ts";
import { assignSockets, inheritedSockets } from "../../src/listener/inherited-sockets.ts";

/** The options of a socket by their numbers (socket(7)): type, listening, protocol, family. */
type Options = Readonly<Record<3 | 30 | 38 | 39, number>>;
const tcp: Options = { 3: 1, 30: 1, 38: 6, 39: 2 };
const tcp6: Options = { ...tcp, 39: 10 };
const unix: Options = { 3: 1, 30: 1, 38: 0, 39: 1 };
const [EBADF, ENOTSOCK] = [9, 88];

/** The descriptors of a process, from 3 on; a number is the error that asking gives. */
class Descriptors {
  readonly closedOnExec: number[] = [];
  readonly #all: readonly (Options | number)[];
  readonly #addresses: readonly string[];

  constructor(
    all: readonly (Options | number)[],
    addresses: readonly string[] = all.map((_, at) => `127.0.0.1:${at}`),
  ) {
    this.#all = all;
    this.#addresses = addresses;
  }

  getOption(fd: number, level: number, option: number): number {
    expect(level).toBe(1);
    const found = this.#all[fd - 3] ?? EBADF;
    return typeof found === "number" ? -found : found[option as keyof Options];
  }

  localOf(fd: number): string | undefined {
    return this.#addresses[fd - 3];
  }

  closeOnExec(fd: number): number {
    this.closedOnExec.push(fd);
    return 0;
  }
}

test("each name gets the descriptor of its place, and programs that are started get none", () => {
  const descriptors = new Descriptors([tcp, tcp6, unix], ["127.0.0.1:80", "[::]:81", "unix:/run/x.sock"]);
  const env = { LISTEN_PID: "77", LISTEN_FDS: "3", LISTEN_FDNAMES: "web:api:db" };
  expect([...inheritedSockets(env, 77, descriptors).values()]).toEqual([
    { name: "web", fd: 3, address: "127.0.0.1:80" },
    { name: "api", fd: 4, address: "[::]:81" },
    { name: "db", fd: 5, address: "unix:/run/x.sock" },
  ]);
  expect(descriptors.closedOnExec).toEqual([3, 4, 5]);
});

test("without the variables, with none, or with those of another process there are no sockets", () => {
  const descriptors = new Descriptors([]);
  const some = { LISTEN_PID: "77", LISTEN_FDS: "1", LISTEN_FDNAMES: "web" };
  for (const env of [
    {},
    { LISTEN_FDS: "1" },
    { LISTEN_PID: "77" },
    { ...some, LISTEN_PID: "78" },
    { ...some, LISTEN_FDS: "0" },
    { LISTEN_PID: "78", LISTEN_FDS: "nonsense" },
  ]) {
    expect(inheritedSockets(env, 77, descriptors).size).toBe(0);
  }
  expect(descriptors.closedOnExec).toEqual([]);
});

test("what does not fit together is an error that says what was found and wanted", () => {
  const env = { LISTEN_PID: "77", LISTEN_FDS: "2", LISTEN_FDNAMES: "web:api" };
  const datagram = { ...tcp, 3: 2, 38: 17 };
  const cases: [env: Record<string, string>, all: (Options | number)[], said: string][] = [
    [{ ...env, LISTEN_PID: "me" }, [], 'LISTEN_PID is "me", wanted a number'],
    [{ ...env, LISTEN_FDS: "-1" }, [], 'LISTEN_FDS is "-1", wanted a number'],
    [{ ...env, LISTEN_FDS: "1001" }, [], "LISTEN_FDS is 1001, wanted at most 1000"],
    [{ ...env, LISTEN_FDNAMES: "web" }, [tcp, tcp], 'LISTEN_FDNAMES has 1 names ("web") for 2 descriptors'],
    [{ ...env, LISTEN_FDNAMES: "a:b:c" }, [tcp, tcp], 'LISTEN_FDNAMES has 3 names ("a:b:c") for 2 descriptors'],
    [{ LISTEN_PID: "77", LISTEN_FDS: "1" }, [tcp], "LISTEN_FDNAMES is not set, wanted the name of a listener"],
    [{ ...env, LISTEN_FDNAMES: "a:a" }, [tcp, unix], '127.0.0.1:0 and 127.0.0.1:1 are both named "a"'],
    [env, [tcp], 'descriptor 4 ("api") is not open'],
    [env, [ENOTSOCK], 'descriptor 3 ("web") is no socket'],
    [env, [datagram], 'descriptor 3 ("web") is no stream socket of TCP or Unix'],
    [env, [{ ...unix, 3: 2 }], 'descriptor 3 ("web") is no stream socket of TCP or Unix'],
    [env, [{ ...unix, 3: 5 }], 'descriptor 3 ("web") is no stream socket of TCP or Unix'],
    // VSOCK, and SCTP over IPv4.
    [env, [{ ...tcp, 39: 40 }], 'descriptor 3 ("web") is no stream socket of TCP or Unix'],
    [env, [{ ...tcp, 38: 132 }], 'descriptor 3 ("web") is no stream socket of TCP or Unix'],
    [env, [{ ...tcp, 30: 0 }], 'descriptor 3 ("web") does not listen (Accept=no is wanted'],
  ];
  for (const [variables, all, said] of cases) {
    expect(failureOf(() => inheritedSockets(variables, 77, new Descriptors(all)))).toStartWith(
      `cannot take over the sockets of the service manager: ${said}`,
    );
  }
});

test("a listener gets the socket of its name; the others open their own", () => {
  const { held, elsewhere } = assign({ api: "127.0.0.1:81" }, { web: at("127.0.0.1", 80), api: at("127.0.0.1", 81) });
  expect([...held]).toEqual([["api", { fd: 3, file: undefined, inherited: true }]]);
  expect(elsewhere).toEqual([]);
});

test("a socket that no listener is named like is an error, which names the listeners", () => {
  const failed = (name: string): string =>
    failureOf(() => assign({ [name]: "0.0.0.0:9900" }, { web: at("127.0.0.1", 80), api: at("", 81) }));
  expect(failed("sluice.socket")).toBe(
    "cannot take over the sockets of the service manager: " +
      '0.0.0.0:9900 is named "sluice.socket", wanted the name of a listener ("web", "api"): FileDescriptorName= in the socket unit',
  );
  expect(failed("admin")).toEndWith(
    '0.0.0.0:9900 is named "admin", and the admin server can\'t take a socket over, wanted admin.listen for it',
  );
  // Unless that is what a listener is called.
  expect(assign({ admin: "127.0.0.1:1" }, { admin: at("127.0.0.1", 1) }).held.size).toBe(1);
});

test("a socket elsewhere than `listen` says is told, where that can be known", () => {
  const told = (found: string, wanted: Address): boolean =>
    assign({ web: found }, { web: wanted }).elsewhere.length > 0;
  expect(assign({ web: "127.0.0.1:81" }, { web: at("127.0.0.1", 80) }).elsewhere).toEqual([
    { listener: "web", address: "127.0.0.1:81", configured: "127.0.0.1:80" },
  ]);
  const path = { kind: "unix", path: "/run/x.sock" } as const;
  expect([
    told("127.0.0.2:80", at("127.0.0.1", 80)),
    told("[::1]:80", at("127.0.0.1", 80)),
    told("0.0.0.0:80", at("127.0.0.1", 80)),
    told("unix:/run/y.sock", path),
    told("127.0.0.1:80", path),
    told("unix:/run/x.sock", at("127.0.0.1", 80)),
    told("127.0.0.1:81", at("localhost", 80)),
  ]).toEqual(Array(7).fill(true));
  expect([
    told("127.0.0.1:80", at("127.0.0.1", 80)),
    told("[::1]:80", at("0:0::1", 80)),
    told("127.0.0.1:4711", at("127.0.0.1", 0)),
    told("[::]:80", at("0.0.0.0", 80)),
    told("[::]:80", at("", 80)),
    told("127.0.0.1:80", at("localhost", 80)),
    told("unix:/run/x.sock", path),
  ]).toEqual(Array(7).fill(false));
});

function at(host: string, port: number): Address {
  return { kind: "tcp", host, port };
}

function assign(
  found: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, Address>>,
): ReturnType<typeof assignSockets> {
  const sockets = Object.entries(found).map(([name, address], index) => ({ name, fd: 3 + index, address }));
  return assignSockets(
    new Map(sockets.map((socket) => [socket.name, socket])),
    Object.entries(wanted).map(([name, listen]) => ({ name, listen })),
  );
}

function failureOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(SluiceError);
    expect((error as SluiceError).code).toBe("listen_failed");
    return (error as SluiceError).message;
  }
  throw new Error("nothing was thrown");
}
