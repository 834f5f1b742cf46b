/** `sluice demo`, the real process: what it prints can be tried, and Ctrl+C drains. */
import { expect, test } from "bun:test";
import { echo, listen, type Backend } from "../support/backend.ts";
import { connect } from "../support/peer.ts";
import { runSluice, startSluice, type Sluice } from "../support/sluice.ts";
import { until } from "../support/until.ts";

const anywhere = ["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

test("it prints where everything is, forwards to both backends in turn, and is ready", async () => {
  await using demo = await startSluice({ args: anywhere });
  const tries = await printed(demo);
  const proxy = await demo.address("web");
  const admin = await demo.address("admin");
  expect(tries).toEqual([
    `http://${proxy}/`,
    `http://${proxy}/slow?ms=5000`,
    `http://${admin}/readyz`,
    `http://${admin}/status`,
  ]);
  expect([proxy, admin].every((address) => /^127\.0\.0\.1:[1-9]\d*$/.test(address))).toBe(true);
  const answers = [];
  for (let request = 1; request <= 4; request++) answers.push(await text(`http://${proxy}/hello`));
  expect(answers).toEqual([
    "backend one: request 1, GET /hello\n",
    "backend two: request 1, GET /hello\n",
    "backend one: request 2, GET /hello\n",
    "backend two: request 2, GET /hello\n",
  ]);
  expect(demo.stdout).toContain(`The dashboard is at http://${admin}/ for a browser.\n`);
  expect(await text(`http://${admin}/`)).toContain("<title>sluice");
  expect(await text(tries[2]!)).toBe('{"ready":true}');
  const status = (await (await fetch(tries[3]!)).json()) as { backends: { endpoints: { address: string }[] }[] };
  const backends = status.backends[0]!.endpoints.map(({ address }) => address);
  expect(demo.stdout).toContain(`sluice forwards http://${proxy} to two backends (${backends.join(" and ")}).`);
  // Each connection is logged when it ends.
  const records = await demo.recorded(4);
  expect(records.map(({ endpoint, end }) => [endpoint, end])).toEqual(
    [0, 1, 0, 1].map((index) => [backends[index], "backend_finished"]),
  );
  demo.signal("SIGINT");
  expect(await demo.exited()).toMatchObject({ code: 0, signal: null });
});

test("Ctrl+C while a request is under way: it completes, then the process ends with code 0", async () => {
  await using demo = await startSluice({ args: anywhere });
  const [, slow, , status] = await printed(demo);
  const answer = text(slow!.replace("ms=5000", "ms=700"));
  // Both sides of the request are there: it is with the backend.
  await until(
    async () => ((await (await fetch(status!)).json()) as { connections_active: number }).connections_active === 1,
    "the request to be under way",
  );
  demo.signal("SIGINT");
  await demo.logged(({ msg }) => msg === "draining", "the drain");
  expect(await answer).toBe("backend one: request 1, GET /slow\n");
  const { code, afterMs } = await demo.exited();
  expect(code).toBe(0);
  expect(afterMs).toBeLessThan(3_000);
  expect(demo.records()).toMatchObject([{ end: "backend_finished" }]);
});

test("Ctrl+C twice ends it at once with code 130", async () => {
  await using demo = await startSluice({ args: anywhere });
  await printed(demo);
  await using client = await connect(await demo.port("web"));
  await client.send("GET /slow?ms=60000 HTTP/1.1\r\nhost: demo\r\n\r\n");
  demo.signal("SIGINT");
  await demo.logged(({ msg }) => msg === "draining", "the drain");
  demo.signal("SIGINT");
  expect(await demo.exited()).toMatchObject({ code: 130, signal: null });
  expect(await client.wasReset()).toBe("ECONNRESET");
});

test("where the usual ports are taken, it chooses free ones", async () => {
  await using _web = await take(8080);
  await using _admin = await take(9900);
  await using demo = await startSluice({ args: ["demo"] });
  const tries = await printed(demo);
  expect([await demo.port("web"), await demo.port("admin")]).not.toContain(8080);
  expect([await demo.port("web"), await demo.port("admin")]).not.toContain(9900);
  expect(await text(tries[0]!)).toBe("backend one: request 1, GET /\n");
  expect(await text(tries[2]!)).toBe('{"ready":true}');
  demo.signal("SIGINT");
  expect((await demo.exited()).code).toBe(0);
});

test("a port that was asked for and is taken is said, and not replaced by another", async () => {
  await using taken = await listen(echo);
  for (const option of ["--listen", "--admin"]) {
    const { code, stderr } = await runSluice([...anywhere, option, taken.address]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      new RegExp(`^sluice: cannot bind [^\\n]+ to ${taken.address}: [^\\n]*EADDRINUSE[^\\n]*\\n$`),
    );
  }
});

test("an address that is none is refused by the option's name, with code 2", async () => {
  const { code, stdout, stderr } = await runSluice(["demo", "--listen", "8080", "--admin", "[::1]"]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toMatch(
    /^--listen: found "8080", wanted an address [^\n]+\n--admin: found "\[::1\]", wanted [^\n]+\nsluice: /,
  );
});

/** The addresses that the demo proposes to try, once it has said all of it. */
async function printed(demo: Sluice): Promise<string[]> {
  await until(
    () => demo.stdout.includes("twice ends at once."),
    () => `the demo to explain itself: ${demo.describe()}`,
  );
  return [...demo.stdout.matchAll(/^ {2}curl (\S+)/gm)].map((match) => unquoted(match[1]!));
}

/** As a shell takes it; some shells take a `?` without quotes for the name of a file. */
function unquoted(word: string): string {
  if (/^"[^"$`\\]*"$/.test(word)) return word.slice(1, -1);
  expect(word).not.toMatch(/[?&*]/);
  return word;
}

/** Listens there, unless somebody does already. */
async function take(port: number): Promise<Backend | AsyncDisposable> {
  try {
    return await listen(undefined, { port });
  } catch (error) {
    if ((error as { code?: string }).code !== "EADDRINUSE") throw error;
    return { async [Symbol.asyncDispose]() {} };
  }
}

/** The answer to a request with a connection of its own. */
async function text(url: string): Promise<string> {
  const response = await fetch(url, { keepalive: false });
  return await response.text();
}
