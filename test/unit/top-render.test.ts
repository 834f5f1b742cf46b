/** What `sluice top` shows of given figures: rates, tables that fit, names that can do no harm. */
import { describe, expect, test } from "bun:test";
import { bytesText, countText, rateText, timeText } from "../../src/cli/top/figures.ts";
import { topLine } from "../../src/cli/top/line.ts";
import { reading, type Reading } from "../../src/cli/top/reading.ts";
import { renderTop, type View } from "../../src/cli/top/render.ts";
import { snapshot } from "../../src/cli/top/snapshot.ts";
import { columnsOf, cut, fit, harmless, inColours } from "../../src/cli/top/text.ts";

const view: View = { order: "busiest", url: "http://127.0.0.1:9900" };

/** Two looks, two seconds apart. */
const before = read({ uptime_ms: 10_000 });
const now = read({
  uptime_ms: 12_000,
  connections_active: 3,
  listeners: [listener({ connections_total: 120, bytes_to_backend: 4096, bytes_to_client: 1_000_000 })],
  ended: { client_finished: 115, connect_refused: 2 },
});

test("the whole screen: state, rates, ends, listeners, endpoints, connections", () => {
  const connections = [
    connection({ id: 1, age_ms: 3_600_000, bytes_to_client: 500 }),
    connection({ id: 2, age_ms: 1500, bytes_to_backend: 300, bytes_to_client: 2048, sni: "db.example.com" }),
    connection({ id: 3, age_ms: 9_000, backend: null, endpoint: null, phase: "dialing" }),
  ];
  const first = read({ uptime_ms: 10_000 }, { connections: connections.slice(0, 1) });
  const later = read(
    {
      uptime_ms: 12_000,
      connections_active: 3,
      listeners: [listener({ connections_total: 120, bytes_to_backend: 4096, bytes_to_client: 1_000_000 })],
      ended: { client_finished: 115, connect_refused: 2 },
    },
    { connections },
  );
  const lines = renderTop(snapshot(first, later), { columns: 130, rows: 20 }, view);
  expect(lines.map((line) => line.trimEnd())).toEqual([
    "sluice 0.1.0  ready  up 12s  pid 4711",
    "connections 3 of 10,000  new 10/s  ended 8.5/s  to backends 2.0 KiB/s  to clients 488 KiB/s",
    "",
    "ENDED  client_finished 115 (7.5/s)  connect_refused 2 (1.0/s)",
    "",
    "LISTENER  ADDRESS         BACKEND  ACTIVE  NEW/S  TO BACKENDS/S  TO CLIENTS/S  TOTAL",
    "web       127.0.0.1:8080  app           3     10        2.0 KiB       488 KiB    120",
    "",
    "BACKEND  ENDPOINT                 STATE  ACTIVE  NEW/S  FAILED  EJECTED  WEIGHT  TOTAL",
    "app      127.0.0.1:9001 (backup)  down        0      0       7        2       1      0",
    "app      127.0.0.1:9000           up          2      0       0        0       3     90",
    "",
    "CONNECTION  CLIENT           LISTENER  ENDPOINT        NAME            PHASE         AGE  IDLE  TO BACKENDS/S  TO CLIENTS/S",
    "         2  127.0.0.1:50002  web       127.0.0.1:9000  db.example.com  forwarding     1s  20ms          150 B       1.0 KiB",
    "         1  127.0.0.1:50001  web       127.0.0.1:9000                  forwarding  1h00m  20ms            0 B           0 B",
    "         3  127.0.0.1:50003  web       -                               dialing        9s  20ms              -             -",
    "",
    "",
    "",
    "q quit  o oldest first  http://127.0.0.1:9900",
  ]);
});

test("the oldest connections come first on demand", () => {
  const connections = [connection({ id: 1, age_ms: 10 }), connection({ id: 2, age_ms: 50 })];
  const of = snapshot(undefined, read({}, { connections }));
  const shown = renderTop(of, { columns: 120, rows: 30 }, { ...view, order: "oldest" });
  expect(shown.filter((line) => /^ +[12] /.test(line)).map((line) => line.trim()[0])).toEqual(["2", "1"]);
  expect(shown.at(-1)).toContain("o busiest first");
});

test("a drain shows how long it may still take, a lost connection why the figures are old", () => {
  const draining = read({ state: "draining", shutdown: { remaining_ms: 12_345 } });
  const size = { columns: 100, rows: 20 };
  expect(renderTop(snapshot(undefined, draining), size, view)[0]).toBe(
    "sluice 0.1.0  draining  cut in 12s  up 10s  pid 4711",
  );
  const lost = renderTop(snapshot(before, now), size, { ...view, lost: "connection refused" });
  expect(lost.slice(0, 2)).toEqual([
    "sluice 0.1.0  lost  up 12s  pid 4711",
    "no answer since the figures below: connection refused; trying again",
  ]);
});

describe("rates", () => {
  test("are counted by the program's own clock, and unknown at first and after it was started anew", () => {
    expect(snapshot(undefined, now)).toMatchObject({
      newRate: undefined,
      endedRate: undefined,
      toClientRate: undefined,
    });
    expect(snapshot(before, now)).toMatchObject({ newRate: 10, endedRate: 8.5, toBackendRate: 2048 });
    const anew = [read({ uptime_ms: 5_000 }), read({ uptime_ms: 12_000, pid: 4712 })];
    for (const other of anew) expect(snapshot(before, other).newRate).toBeUndefined();
  });

  test("take what is new for begun since, what has gone for nothing, and what has shrunk for another", () => {
    const two = read({
      uptime_ms: 11_000,
      listeners: [listener({ connections_total: 30 }), listener({ name: "api", connections_total: 5 })],
    });
    expect(snapshot(before, two).listeners.map(({ newRate }) => newRate)).toEqual([30, 5]);
    expect(snapshot(two, read({ uptime_ms: 12_000, listeners: [] }))).toMatchObject({ newRate: 0, listeners: [] });
  });
});

describe("room", () => {
  const many = read(
    {
      listeners: Array.from({ length: 30 }, (_, index) => listener({ name: `listener-${index}` })),
      backends: [{ name: "app", endpoints: Array.from({ length: 40 }, (_, index) => endpoint(9000 + index)) }],
    },
    { connections: Array.from({ length: 50 }, (_, index) => connection({ id: index + 1 })), total: 1234 },
  );

  test("too few rows are shared, and each table says how much is missing", () => {
    const lines = renderTop(snapshot(undefined, many), { columns: 100, rows: 24 }, view);
    expect(lines.length).toBe(24);
    expect(lines.filter((line) => line.startsWith("… "))).toEqual(["… 26 more", "… 37 more", "… 1,231 more"]);
  });

  test("where not every table has room for a row, endpoints stay, then listeners", () => {
    const shown = (rows: number): string[] =>
      renderTop(snapshot(undefined, many), { columns: 100, rows }, view).filter((line) => /^[A-Z]{4,} /.test(line));
    const titles = (rows: number): string[] => shown(rows).map((line) => line.split(" ")[0]!);
    expect(titles(14)).toEqual(["ENDED", "LISTENER", "BACKEND", "CONNECTION"]);
    expect(titles(13)).toEqual(["ENDED", "LISTENER", "BACKEND"]);
    expect(titles(10)).toEqual(["ENDED", "BACKEND"]);
    expect(titles(7)).toEqual(["ENDED"]);
  });

  test("an endpoint that gets no clients is seen whatever there is no room for", () => {
    const backends = [
      {
        name: "app",
        endpoints: [
          ...Array.from({ length: 40 }, (_, index) => endpoint(9000 + index)),
          endpoint(9999, { health: "down" }),
        ],
      },
      {
        name: "db",
        endpoints: [endpoint(1, { state: "drain" }), endpoint(2, { ejected: true }), endpoint(3, { state: "down" })],
      },
    ];
    const lines = renderTop(snapshot(undefined, read({ backends })), { columns: 100, rows: 24 }, view);
    const states = lines.filter((line) => /^(?:app|db) /.test(line)).map((line) => line.split(/ {2,}/).slice(1, 3));
    expect(states.slice(0, 4)).toEqual([
      ["127.0.0.1:9999", "down"],
      ["127.0.0.1:1", "drain"],
      ["127.0.0.1:2", "ejected"],
      ["127.0.0.1:3", "taken down"],
    ]);
  });

  test("a column in which there is nothing takes no room", () => {
    const shown = (differences: object): string =>
      renderTop(
        snapshot(undefined, read({ listeners: [listener(differences)] })),
        { columns: 120, rows: 24 },
        view,
      ).join("\n");
    expect(shown({})).not.toContain("LIMIT");
    expect(shown({ paused: true })).toMatch(/LIMIT[^]*reached/);
  });

  test("too few columns cost the least important ones; what stays is whole", () => {
    const lines = renderTop(snapshot(before, now), { columns: 40, rows: 24 }, view);
    const titles = lines.filter((line) => /^[A-Z]{4,} /.test(line) && !line.startsWith("ENDED"));
    expect(titles.map((line) => line.trim().split(/ {2,}/))).toEqual([
      ["LISTENER", "ACTIVE", "NEW/S", "TO CLIENTS/S"],
      ["ENDPOINT", "STATE", "ACTIVE"],
    ]);
  });

  test("no size breaks it, be it nothing at all", () => {
    for (let columns = 0; columns < 130; columns += 3) {
      for (const rows of [0, 1, 2, 3, 5, 8, 13, 40]) {
        const lines = renderTop(snapshot(undefined, many), { columns, rows }, view);
        expect(lines.length).toBe(rows);
        expect(Math.max(0, ...lines.map(columnsOf))).toBeLessThanOrEqual(columns);
      }
    }
  });
});

describe("names", () => {
  test("of any script are cut by the columns they take", () => {
    expect(fit("日本語", 5)).toBe("日本…");
    expect(fit("日本語", 6)).toBe("日本語");
    expect(fit("日本語", 4)).toBe("日… ");
    expect(fit("ab", 4, "right")).toBe("  ab");
    expect(cut("abc", 0)).toBe("");
    expect(cut("日", 1)).toBe("…");
    expect(columnsOf(fit("a日b🙂c", 6))).toBe(6);
  });

  test("can send nothing to the terminal, wherever they come from", () => {
    const hostile = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\n\u202egnp\u200b\ud800\u2028\0é";
    expect(harmless(hostile)).toBe("�]0;owned��[2J�31m���gnp����é");
    const status = {
      version: hostile,
      state: hostile,
      listeners: [listener({ name: hostile, address: hostile, backend: hostile })],
      backends: [{ name: hostile, endpoints: [endpoint(1, { address: hostile, health: hostile, state: hostile })] }],
      ended: { [hostile]: 5 },
    };
    const one = connection({ client: hostile, listener: hostile, endpoint: hostile, sni: hostile, phase: hostile });
    const of = snapshot(undefined, read(status, { connections: [one] }));
    const screen = renderTop(of, { columns: 200, rows: 40 }, view).join("\n");
    expect(screen).toContain("]0;owned");
    expect(screen.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
    const line = topLine(0, of);
    expect(line).toMatch(/^time=\S+ state=\S+ uptime_s=10 [^\p{Cc}]+\n$/u);
    // Colours are the only sequences there are.
    const coloured = renderTop(of, { columns: 200, rows: 40 }, { ...view, paint: inColours }).join("");
    // oxlint-disable-next-line no-control-regex
    expect(coloured.replace(/\x1b\[(?:0|1|2|32|33|1;31)m/g, "")).not.toMatch(/\p{Cc}/u);
  });

  test("with piles of marks on them stay in their line", () => {
    expect(harmless(`e${"\u0301".repeat(50)}x`)).toBe("e\u0301\u0301x");
  });
});

test("answers that are none of sluice's are told, and gaps in one are empty", () => {
  for (const body of ["", "ok", "[]", "null", '"x"', "{}", '{"listeners":[],"backends":[]}', '{"uptime_ms":1}']) {
    expect(reading(body, undefined)).toBeUndefined();
  }
  const bare = reading(
    '{"listeners":[{}, 5],"backends":[{"endpoints":[null]},{}],"uptime_ms":1}',
    '{"connections":[7]}',
  );
  expect(bare).toMatchObject({ state: "", pid: 0, connections: { total: 1 } });
  expect(bare!.listeners.length).toBe(2);
  expect(renderTop(snapshot(undefined, bare!), { columns: 80, rows: 24 }, view).length).toBe(24);
  expect(reading('{"listeners":[],"backends":[],"uptime_ms":1}', "nonsense")!.connections).toBeUndefined();
});

test("a line has its fields in their order, - where a value is not known", () => {
  expect(topLine(Date.UTC(2026, 0, 2, 3, 4, 5), snapshot(before, now))).toBe(
    "time=2026-01-02T03:04:05.000Z state=ready uptime_s=12 active=3 new_per_s=10.0 ended_per_s=8.5 " +
      "bytes_to_backend_per_s=2048.0 bytes_to_client_per_s=500000.0 endpoints=2 endpoints_out=1 " +
      "connect_failures_total=7 connections_total=120\n",
  );
  expect(topLine(0, undefined)).toBe(
    "time=1970-01-01T00:00:00.000Z state=unreachable uptime_s=- active=- new_per_s=- ended_per_s=- " +
      "bytes_to_backend_per_s=- bytes_to_client_per_s=- endpoints=- endpoints_out=- " +
      "connect_failures_total=- connections_total=-\n",
  );
});

test("figures are short", () => {
  expect([0, 999, 1000, 1234567].map(countText)).toEqual(["0", "999", "1,000", "1,234,567"]);
  expect([undefined, 0, 0.04, 9.94, 9.96, 1234].map(rateText)).toEqual(["-", "0", "0.0", "9.9", "10", "1,234"]);
  expect([undefined, 0, 999, 1000, 1536, 10 * 1024, 5e9, 1e20].map(bytesText)).toEqual([
    "-",
    "0 B",
    "999 B",
    "1.0 KiB",
    "1.5 KiB",
    "10 KiB",
    "4.7 GiB",
    "88818 PiB",
  ]);
  expect([0, 999, 1000, 59_999, 63_000, 3_600_000, 90_061_000].map(timeText)).toEqual([
    "0ms",
    "999ms",
    "1s",
    "59s",
    "1m03s",
    "1h00m",
    "1d01h",
  ]);
});

/** A status as the admin server has it, read. */
function read(differences: object, connections?: { connections: object[]; total?: number }): Reading {
  const status = {
    version: "0.1.0",
    bun: "1.4.5",
    pid: 4711,
    uptime_ms: 10_000,
    state: "ready",
    connections_active: 0,
    limits: { connections: 10_000, overflow: "queue", fds: 65_536 },
    listeners: [listener({})],
    backends: [
      {
        name: "app",
        available: true,
        endpoints: [
          endpoint(9000, { weight: 3, connections_active: 2, connections_total: 90 }),
          endpoint(9001, { health: "down", backup: true, connect_failures_total: 7, ejections_total: 2 }),
        ],
      },
    ],
    ended: { client_finished: 100 },
    ...differences,
  };
  const all = connections && { total: connections.connections.length, ...connections };
  return reading(JSON.stringify(status), all && JSON.stringify(all))!;
}

function listener(differences: object): object {
  return {
    name: "web",
    address: "127.0.0.1:8080",
    backend: "app",
    routes: [],
    paused: false,
    connections_active: 3,
    connections_total: 100,
    bytes_to_backend: 0,
    bytes_to_client: 0,
    ...differences,
  };
}

function endpoint(port: number, differences: object = {}): object {
  return {
    address: `127.0.0.1:${port}`,
    configured: `127.0.0.1:${port}`,
    health: "up",
    state: "ready",
    ejected: false,
    weight: 1,
    backup: false,
    connections_active: 0,
    connections_total: 0,
    connect_failures_total: 0,
    ejections_total: 0,
    ...differences,
  };
}

function connection(differences: { id?: number } & Record<string, unknown>): object {
  return {
    id: 1,
    listener: "web",
    client: `127.0.0.1:${50_000 + (differences.id ?? 1)}`,
    backend: "app",
    endpoint: "127.0.0.1:9000",
    route: null,
    sni: null,
    phase: "forwarding",
    age_ms: 1_000,
    idle_ms: 20,
    bytes_to_backend: 0,
    bytes_to_client: 0,
    engine: "copy",
    ...differences,
  };
}
