/** DNS servers that refuse, in the real process: it starts without waiting for them, and waits for them without effort. */
import { expect, test } from "bun:test";
import { echo, listen, type Backend } from "../support/backend.ts";
import { cpuSeconds } from "../support/descriptors.ts";
import { a, dnsServer } from "../support/dns-server.ts";
import { connect } from "../support/peer.ts";
import { refusingServer } from "../support/refusing-server.ts";
import { startSluice, type Sluice } from "../support/sluice.ts";

/** What the process may use in the two seconds of `untilIdleEnds`; one that spins uses most of them. */
const effortlessSeconds = 0.4;

test.each(["127.0.0.1", "::1"] as const)(
  "a name whose only server (%s) refuses is told of at once, and asked for again without effort",
  async (host) => {
    using refusing = await refusingServer(host);
    await using backend = await listen(echo);
    await using proxy = await startSluice({ config: config([refusing.address], ["app.test:80"], backend) });
    await proxy.ready();
    expect(proxy.log.filter(({ msg }) => msg === "cannot resolve a name")).toMatchObject([
      { backend: "named", name: "app.test:80", why: "no DNS server could be reached", kept: 0 },
    ]);
    expect(Number(proxy.log.find(({ msg }) => msg === "ready")!["duration_ms"])).toBeLessThan(1_000);
    expect(await secondsUntilIdleEnds(proxy)).toBeLessThan(effortlessSeconds);
  },
);

test("a server that refuses is passed over without effort for one that answers", async () => {
  using refusing = await refusingServer();
  using dns = await dnsServer();
  dns.set("app.test", a("127.0.0.2"));
  await using backend = await listen(echo);
  const servers = [refusing.address, dns.address];
  await using proxy = await startSluice({ config: config(servers, ["app.test:80"], backend) });
  await proxy.ready();
  expect(proxy.log.filter(({ msg }) => msg === "name resolved")).toMatchObject([{ addresses: ["127.0.0.2:80"] }]);
  const asked = dns.count("app.test", "A");
  expect(await secondsUntilIdleEnds(proxy)).toBeLessThan(effortlessSeconds);
  expect(dns.count("app.test", "A")).toBeGreaterThan(asked);
});

test("many names whose server refuses take no more than their asking", async () => {
  using refusing = await refusingServer();
  await using backend = await listen(echo);
  const names = Array.from({ length: 100 }, (_, index) => `app-${index}.test:80`);
  await using proxy = await startSluice({ config: config([refusing.address], names, backend) });
  await proxy.ready();
  expect(proxy.log.filter(({ why }) => why === "no DNS server could be reached")).toHaveLength(100);
  expect(await secondsUntilIdleEnds(proxy)).toBeLessThan(effortlessSeconds * 2);
});

/** Connects, says nothing, and is reset after two seconds: the processor time that the proxy has used meanwhile. */
async function secondsUntilIdleEnds(proxy: Sluice): Promise<number> {
  await using client = await connect(await proxy.port("web"));
  const before = cpuSeconds(proxy.pid);
  await client.closed();
  return cpuSeconds(proxy.pid) - before;
}

/** A backend with names, asked for each second, and a listener in front of another backend, whose sessions end after two. */
function config(servers: readonly string[], names: readonly string[], backend: Backend): string {
  return `
[resolver]
servers = ${JSON.stringify(servers)}

[timeouts]
idle = "2s"

[[listener]]
name = "web"
listen = "127.0.0.1:0"
backend = "app"

[[listener]]
name = "named"
listen = "127.0.0.1:0"
backend = "named"

[[backend]]
name = "app"
endpoints = ["${backend.address}"]

[[backend]]
name = "named"
resolve = "1s"
endpoints = ${JSON.stringify(names)}
`;
}
