/** Addresses in the configuration: networks, file modes, Unix sockets, and listeners that would proxy to themselves. */
import { describe, expect, test } from "bun:test";
import { printConfig } from "../../src/config/load.ts";
import { ConfigFolder, configOf, fromValue, ROOMY } from "../support/configuration.ts";

type Listener = Record<string, unknown>;

function listener(name: string, listen: string, backend: string, extra: Record<string, unknown> = {}): Listener {
  return { name, listen, backend, ...extra };
}

function backend(name: string, ...endpoints: unknown[]): Record<string, unknown> {
  return { name, endpoints };
}

/** The minimal listener with these keys. */
function web(keys: Record<string, unknown>): { listener: Listener[] } {
  return { listener: [listener("web", "127.0.0.1:8080", "app", keys)] };
}

describe("a list of networks", () => {
  test("is read, and printed so that it loads again", () => {
    const config = configOf(
      web({ allow: ["10.0.0.0/8", "2001:DB8::/32", "192.0.2.7"], deny: ["::ffff:10.1.0.0/112"] }),
    );
    expect(config.listeners[0]!.allow).toEqual([
      { kind: "ipv4", address: "10.0.0.0", bits: 8 },
      { kind: "ipv6", address: "2001:db8::", bits: 32 },
      { kind: "ipv4", address: "192.0.2.7", bits: 32 },
    ]);
    const printed = printConfig(config);
    expect(printed).toInclude('allow = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"]\n');
    expect(printed).toInclude('deny = ["10.1.0.0/16"]\n');
    expect(printed).toInclude("trusted = []\n");
  });

  test("comes from a variable with commas", () => {
    const config = configOf({}, { SLUICE_LISTENER_WEB_ALLOW: "10.0.0.0/8, ::1" });
    expect(config.listeners[0]!.allow.map(({ address }) => address)).toEqual(["10.0.0.0", "::1"]);
    const { problems } = fromValue({}, { SLUICE_LISTENER_WEB_DENY: "10.0.0.0/8,10.1.2.3/8" });
    expect(problems).toEqual([
      'SLUICE_LISTENER_WEB_DENY listener.web.deny.1: found "10.1.2.3/8", wanted a network address, such as "10.0.0.0/8", or "10.1.2.3" for this address alone',
    ]);
  });

  test("has a problem for each mistake, where it stands", async () => {
    await using folder = await ConfigFolder.open();
    const { problems } = await folder.load(
      [
        "[[listener]]",
        'name = "web"',
        'listen = "127.0.0.1:8080"',
        'backend = "app"',
        'allow = ["10.0.0.0/8", "10.1.2.3/8",',
        '  "nowhere", 5]',
        'trusted = "10.0.0.0/8"',
        "[[backend]]",
        'name = "app"',
        'endpoints = ["127.0.0.1:9000"]',
      ].join("\n"),
    );
    const wanted =
      'an IP address with or without a prefix length, such as "10.0.0.0/8", "2001:db8::/32" or "192.0.2.7"';
    expect(problems).toEqual([
      'config.toml:5:24 listener.web.allow.1: found "10.1.2.3/8", wanted a network address, such as "10.0.0.0/8", or "10.1.2.3" for this address alone',
      `config.toml:6:3 listener.web.allow.2: found "nowhere", wanted ${wanted}`,
      'config.toml:6:14 listener.web.allow.3: found 5, wanted a network such as "10.0.0.0/8" or "2001:db8::/32"',
      'config.toml:7:11 listener.web.trusted: found "10.0.0.0/8", wanted a list, such as ["10.0.0.0/8"]',
    ]);
  });
});

describe("a file mode", () => {
  const unix = (mode: unknown) => ({ listener: [listener("web", "unix:/run/x.sock", "app", { mode })] });

  test.each([
    ["0660", 0o660, "0660"],
    ["600", 0o600, "0600"],
    ["0777", 0o777, "0777"],
    ["0006", 0o006, "0006"],
  ])("%j is read as octal", (text, mode, printed) => {
    const config = configOf(unix(text));
    expect(config.listeners[0]!.mode).toBe(mode);
    expect(printConfig(config)).toInclude(`mode = "${printed}"\n`);
  });

  test.each(["", "0", "66", "06600", "1777", "4755", "0o660", "0690", "rw-rw----", 432, 0])("%j is refused", (mode) => {
    expect(fromValue(unix(mode)).problems).toEqual([
      `listener.web.mode: found ${JSON.stringify(mode)}, wanted a file mode of three octal digits such as "0660"`,
    ]);
  });
});

describe("Unix sockets", () => {
  test("are addresses to listen on and to connect to, and printed as they were written", () => {
    const config = configOf({
      listener: [listener("web", "unix:/run/web.sock", "app")],
      backend: [backend("app", "unix:app.sock", { address: "unix:/run/b.sock", weight: 2 })],
    });
    expect(config.listeners[0]!.listen).toEqual({ kind: "unix", path: "/run/web.sock" });
    expect(config.backends[0]!.endpoints.map(({ address }) => address)).toEqual([
      { kind: "unix", path: "app.sock" },
      { kind: "unix", path: "/run/b.sock" },
    ]);
    expect(printConfig(config)).toInclude('listen = "unix:/run/web.sock"\n');
  });

  test("are the same however their paths are written", () => {
    const { problems } = fromValue({
      listener: [listener("a", "unix:/run/x.sock", "app"), listener("b", "unix:/run//y/../x.sock", "app")],
      backend: [backend("app", "unix:/run/e.sock", "unix:/run/./e.sock")],
    });
    expect(problems).toEqual([
      "backend.app.endpoints.1: the endpoint unix:/run/./e.sock is listed twice, wanted each once",
      'listener.b.listen: unix:/run//y/../x.sock is the address of listener "a" already, wanted another path',
    ]);
  });

  test("have no clients' addresses to judge by", () => {
    const rules = { allow: ["10.0.0.0/8"], deny: ["10.1.0.0/16"], connections_per_ip: 5, rate_per_ip: 5 };
    const found = (extra: object) =>
      fromValue({ listener: [listener("web", "unix:/run/x.sock", "app", { ...rules, ...extra })] }).problems;
    expect(found({})).toEqual(
      Object.keys(rules).map(
        (name) =>
          `listener.web.${name}: the clients of unix:/run/x.sock have no address, wanted ${name} left out, or accept_proxy = "required"`,
      ),
    );
    expect(found({ accept_proxy: "required" })).toEqual([]);
    expect(found({ accept_proxy: "required", trusted: ["10.0.0.0/8"] })).toEqual([
      "listener.web.trusted: the clients of unix:/run/x.sock have no address, so that nobody would be trusted; wanted mode",
    ]);
    expect(
      fromValue({ listener: [listener("web", "unix:/run/x.sock", "app", { allow: [], rate_per_ip: 0 })] }).problems,
    ).toEqual([]);
  });

  test("alone have a mode; the one that is printed everywhere is no mistake", () => {
    expect(fromValue(web({ mode: "0600" })).problems).toEqual([
      "listener.web.mode: 127.0.0.1:8080 is no Unix socket, wanted mode left out",
    ]);
    expect(fromValue(web({ mode: "0660" })).problems).toEqual([]);
  });

  test("are not for the admin server", () => {
    expect(fromValue({ admin: { listen: "unix:/run/admin.sock" } }).problems).toEqual([
      'admin.listen: found unix:/run/admin.sock, wanted an address with a port, such as "127.0.0.1:9900"',
    ]);
  });
});

describe("PROXY headers", () => {
  const warnings = (listen: string, keys: Record<string, unknown>) =>
    fromValue({ listener: [listener("web", listen, "app", keys)] }).warnings;

  test("that anybody could send draw a warning", () => {
    const forged =
      "listener.web.accept_proxy: any client may send a PROXY header and name any address as its own, wanted trusted = [the addresses of the proxies in front]";
    expect(warnings(":8080", { accept_proxy: "required" })).toEqual([forged]);
    expect(warnings("10.0.0.1:8080", { accept_proxy: "required", trusted: [] })).toEqual([forged]);
    expect(warnings("10.0.0.1:8080", { accept_proxy: "required", trusted: ["10.0.0.0/8"] })).toEqual([]);
    for (const listen of ["127.0.0.1:8080", "[::1]:8080", "localhost:8080", "unix:/run/x.sock"]) {
      expect(warnings(listen, { accept_proxy: "required" })).toEqual([]);
    }
  });

  test("that are not expected trust nobody", () => {
    expect(warnings(":8080", { trusted: ["10.0.0.0/8"] })).toEqual([
      'listener.web.trusted: does nothing without accept_proxy = "required"',
    ]);
  });
});

describe("a listener that would proxy to itself", () => {
  const loop = (at: string, endpoint: string, owner: string, way: string): string =>
    `${at}: ${endpoint} is the address of ${owner}, which would proxy to itself (${way}), wanted the address of another program`;
  const alone = (endpoint: string, at = "backend.app.endpoints.0"): string =>
    loop(at, endpoint, 'listener "web"', 'listener "web" → backend "app" → listener "web"');
  const localHosts = ["10.0.0.5", "2001:db8::5", "fe80::5"];

  /** The problems of one listener and one backend. */
  function between(listen: string, ...endpoints: unknown[]): string[] {
    const value = { listener: [listener("web", listen, "app")], backend: [backend("app", ...endpoints)] };
    return fromValue(value, {}, { ...ROOMY, localHosts }).problems;
  }

  test("is refused at the endpoint", async () => {
    expect(between("127.0.0.1:8080", "127.0.0.1:9000", "127.0.0.1:8080")).toEqual([
      alone("127.0.0.1:8080", "backend.app.endpoints.1"),
    ]);
    await using folder = await ConfigFolder.open();
    const { problems } = await folder.load(
      [
        "[[listener]]",
        'name = "web"',
        'listen = "127.0.0.1:8080"',
        'backend = "app"',
        "[[backend]]",
        'name = "app"',
        'endpoints = ["127.0.0.1:9000", { address = "127.0.0.1:8080", weight = 2 }]',
      ].join("\n"),
    );
    expect(problems).toEqual([alone("127.0.0.1:8080", "config.toml:7:32 backend.app.endpoints.1")]);
  });

  const same: [listen: string, endpoint: string][] = [
    ["127.0.0.1:8080", "localhost:8080"],
    ["127.0.0.1:8080", "[::ffff:127.0.0.1]:8080"],
    ["127.0.0.1:8080", "0.0.0.0:8080"],
    ["localhost:8080", "127.0.0.1:8080"],
    ["localhost:8080", "localhost.:8080"],
    ["[::1]:8080", "localhost:8080"],
    ["[::1]:8080", "[0:0:0:0:0:0:0:1]:8080"],
    ["[::1]:8080", "[::]:8080"],
    ["10.0.0.7:8080", "10.0.0.7:8080"],
    ["db.internal:8080", "DB.internal:8080"],
    [":8080", "127.0.0.1:8080"],
    [":8080", "127.9.9.9:8080"],
    [":8080", "localhost:8080"],
    [":8080", "0.0.0.0:8080"],
    [":8080", "10.0.0.5:8080"],
    [":8080", "[::ffff:10.0.0.5]:8080"],
    ["[::]:8080", "127.0.0.1:8080"],
    ["[::]:8080", "[::1]:8080"],
    ["[::]:8080", "10.0.0.5:8080"],
    ["[::]:8080", "[2001:DB8::5]:8080"],
    ["[::]:8080", "[fe80::5%eth0]:8080"],
    ["unix:/run/x.sock", "unix:/run/x.sock"],
    ["unix:/run/x.sock", "unix:/run/./x.sock"],
  ];
  test.each(same)("%s is reached by %s", (listen, endpoint) => {
    expect(between(listen, endpoint)).toEqual([alone(endpoint)]);
  });

  const others: [listen: string, endpoint: string][] = [
    ["127.0.0.1:8080", "127.0.0.1:8081"],
    ["127.0.0.1:8080", "127.0.0.2:8080"],
    ["127.0.0.1:8080", "10.0.0.5:8080"],
    ["127.0.0.1:8080", "[::1]:8080"],
    [":8080", "10.0.0.6:8080"],
    [":8080", "[::1]:8080"],
    [":8080", "[2001:db8::5]:8080"],
    [":8080", "db.internal:8080"],
    ["[::]:8080", "10.0.0.6:8080"],
    ["[::1]:8080", "127.0.0.1:8080"],
    ["127.0.0.1:0", "127.0.0.1:8080"],
    [":8080", "unix:/run/x.sock"],
    ["unix:/run/x.sock", "unix:/run/y.sock"],
    ["unix:/run/x.sock", "127.0.0.1:8080"],
    [":8080", "srv:_db._tcp.internal"],
  ];
  test.each(others)("%s is not reached by %s", (listen, endpoint) => {
    expect(between(listen, endpoint)).toEqual([]);
  });

  test("by way of others is refused where the circle closes, which is told", () => {
    const value = {
      listener: [listener("a", "127.0.0.1:1", "x"), listener("b", ":2", "y"), listener("c", "unix:/c", "z")],
      backend: [backend("x", "127.0.0.1:2"), backend("y", "unix:/c", "127.0.0.1:9"), backend("z", "localhost:1")],
    };
    const way = 'listener "a" → backend "x" → listener "b" → backend "y" → listener "c" → backend "z" → listener "a"';
    expect(fromValue(value).problems).toEqual([loop("backend.z.endpoints.0", "localhost:1", 'listener "a"', way)]);
  });

  test("behind one that does not is told without that one", () => {
    const value = {
      listener: [listener("front", "127.0.0.1:1", "x"), listener("back", "127.0.0.1:2", "y")],
      backend: [backend("x", "127.0.0.1:2"), backend("y", "127.0.0.1:2")],
    };
    const way = 'listener "back" → backend "y" → listener "back"';
    expect(fromValue(value).problems).toEqual([loop("backend.y.endpoints.0", "127.0.0.1:2", 'listener "back"', way)]);
  });

  test("by a long way is told in a short line", () => {
    const count = 1000;
    const value = {
      listener: Array.from({ length: count }, (_, index) =>
        listener(`l${index}`, `127.0.0.1:${index + 1}`, `b${index}`),
      ),
      backend: Array.from({ length: count }, (_, index) =>
        backend(`b${index}`, `127.0.0.1:${((index + 1) % count) + 1}`),
      ),
    };
    const step = (index: number) => `listener "l${index}" → backend "b${index}"`;
    const way = [
      step(0),
      step(1),
      step(2),
      step(3),
      "… 992 more …",
      ...[996, 997, 998, 999].map(step),
      'listener "l0"',
    ].join(" → ");
    expect(fromValue(value).problems).toEqual([loop("backend.b999.endpoints.0", "127.0.0.1:1", 'listener "l0"', way)]);
  });

  test("only by a route is refused as well", () => {
    const value = {
      listener: [listener("web", "127.0.0.1:1", "x", { route: [{ path_prefix: "/a", backend: "y" }] })],
      backend: [backend("x", "127.0.0.1:9"), backend("y", "127.0.0.1:1")],
    };
    const way = 'listener "web" → backend "y" → listener "web"';
    expect(fromValue(value).problems).toEqual([loop("backend.y.endpoints.0", "127.0.0.1:1", 'listener "web"', way)]);
  });

  test("is not one whose connections pass others and arrive somewhere", () => {
    const value = {
      listener: [
        listener("a", "127.0.0.1:1", "x"),
        listener("b", "127.0.0.1:2", "y"),
        listener("c", "127.0.0.1:3", "y"),
      ],
      backend: [backend("x", "127.0.0.1:2", "127.0.0.1:3"), backend("y", "127.0.0.1:9")],
    };
    expect(fromValue(value)).toMatchObject({ problems: [], warnings: [] });
  });

  test("is looked for beside other mistakes", () => {
    const { problems } = fromValue({
      listener: [listener("web", "127.0.0.1:8080", "app"), { name: "other", listen: "nowhere" }],
      backend: [backend("app", "127.0.0.1:8080", "127.0.0.1"), { name: "bare" }],
    });
    expect(problems).toContain(alone("127.0.0.1:8080"));
    expect(problems).toHaveLength(5);
  });
});

describe("the backends of a listener", () => {
  test("may be given by its routes alone", () => {
    const routes = [{ path_prefix: "/a", backend: "app" }];
    expect(fromValue({ listener: [{ name: "web", listen: ":1", route: routes }] })).toMatchObject({
      problems: [],
      warnings: [],
    });
    expect(fromValue({ listener: [listener("web", ":1", "", { route: routes })] })).toMatchObject({
      problems: [],
      warnings: [],
    });
  });

  test("have to be there and known, those of routes too", () => {
    const { problems, warnings } = fromValue({
      listener: [
        { name: "a", listen: ":1" },
        listener("b", ":2", ""),
        listener("c", ":3", "ap", { route: [{ path_prefix: "/a", backend: "application" }] }),
        "no table",
      ],
    });
    expect(problems).toEqual([
      'listener.3: found "no table", wanted a table',
      'listener.a.backend: is missing, wanted for example backend = "app"',
      'listener.b.backend: is missing, wanted for example backend = "app"',
      'listener.c.route.0.backend: unknown backend "application", wanted one of "app"',
      'listener.c.backend: unknown backend "ap" (did you mean "app"?)',
    ]);
    expect(warnings).toEqual([]);
  });
});
