/** One port for everything: ssh, curl and redis-cli on the same listener, each sent where its first bytes say. */
import { expect, test } from "bun:test";
import { certificate } from "../support/certificates.ts";
import { Payload } from "../support/payload.ts";
import { call, lacks } from "../support/programs.ts";
import { byId } from "../support/records.ts";
import { startRedis } from "../support/redis.ts";
import { Sshd } from "../support/sshd.ts";
import { startSluice } from "../support/sluice.ts";
import { curlClient } from "../support/tls-programs.ts";

// sshd is run by a user that PostgreSQL's package has made.
const programs = [
  "curl",
  "openssl",
  "postgres",
  "redis-cli",
  "redis-server",
  "setpriv",
  "ssh",
  "ssh-keygen",
  "sshd",
] as const;

test.skipIf(lacks(...programs))("ssh, HTTP, TLS and redis share a port, and each finds its server", async () => {
  const { cert, key } = certificate("a");
  using web = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("this is the web") });
  using secure = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { cert, key },
    fetch: () => new Response("this is TLS"),
  });
  await using sshd = await Sshd.start();
  await using redis = await startRedis();
  const backends = {
    ssh: sshd.address,
    web: `127.0.0.1:${web.port}`,
    tls: `127.0.0.1:${secure.port}`,
    redis: redis.address,
  };
  await using sluice = await startSluice({ config: sharing(backends) });
  const port = await sluice.port("all");

  const said = await sshd.run(port, "echo this is ssh; exit 3");
  expect({ code: said.code, stdout: said.stdout, stderr: said.stderr }).toEqual({
    code: 3,
    stdout: "this is ssh\n",
    stderr: "",
  });
  const sent = new Payload(1, 2_000_000);
  const copied = await sshd.run(port, "cat", sent.bytes());
  expect(Buffer.compare(copied.bytes, sent.bytes())).toBe(0);
  expect((await call("curl", ["-q", "-sS", `http://127.0.0.1:${port}/any`])).stdout).toBe("this is the web");
  expect((await call("curl", [...curlClient(port), `https://a.test:${port}/`])).stdout).toBe("this is TLS");
  expect((await call("redis-cli", ["-h", "127.0.0.1", "-p", `${port}`, "PING"])).stdout).toBe("PONG\n");

  const records = byId(await sluice.recorded(5));
  const seen = records.map(({ backend, route, sni }) => ({ backend, route, sni }));
  expect(seen).toEqual([
    { backend: "ssh", route: "prefix=SSH-2.0", sni: null },
    { backend: "ssh", route: "prefix=SSH-2.0", sni: null },
    { backend: "web", route: "path_prefix=/", sni: null },
    { backend: "tls", route: "sni=a.test", sni: "a.test" },
    { backend: "redis", route: null, sni: null },
  ]);
});

function sharing(backends: Readonly<Record<"ssh" | "web" | "tls" | "redis", string>>): string {
  const tables = Object.entries(backends).map(
    ([name, endpoint]) => `[[backend]]\nname = "${name}"\nendpoints = ["${endpoint}"]\n`,
  );
  return `
[[listener]]
name = "all"
listen = "127.0.0.1:0"
backend = "redis"
[[listener.route]]
prefix = "SSH-2.0"
backend = "ssh"
[[listener.route]]
path_prefix = "/"
backend = "web"
[[listener.route]]
sni = "a.test"
backend = "tls"
${tables.join("")}`;
}
