/** The DNS server of the tests, asked by c-ares: what it is told to say is what arrives. */
import { describe, expect, test } from "bun:test";
import { promises as dns } from "node:dns";
import { readQuestion, withLength } from "../support/dns-message.ts";
import { a, aaaa, cname, dnsServer, srv, type DnsServer } from "../support/dns-server.ts";
import { connect } from "../support/peer.ts";

/** A resolver for each question: one that is kept answers from its cache (Bun 1.4.5). */
function asks(server: DnsServer): dns.Resolver {
  const resolver = new dns.Resolver({ timeout: 1_000, tries: 1 });
  resolver.setServers([server.address]);
  return resolver;
}

/** A question for the A records of "db.test", as RFC 1035 section 4.1 has it. */
const question = Uint8Array.fromHex("123401000001000000000000" + "0264420474657374" + "0000010001");

describe("records", () => {
  test("of type A come with their TTL, in their order", async () => {
    using server = await dnsServer();
    server.set("db.test", a("10.0.0.1", 7), a("255.254.0.2", 86_400), aaaa("::1"));
    expect(await asks(server).resolve4("db.test", { ttl: true })).toEqual([
      { address: "10.0.0.1", ttl: 7 },
      { address: "255.254.0.2", ttl: 86_400 },
    ]);
    expect(server.asked).toEqual([{ name: "db.test", type: "A", over: "udp" }]);
  });

  test("of type AAAA come in every spelling", async () => {
    using server = await dnsServer();
    const addresses = ["::", "::1", "2001:db8::", "2001:db8::1:0:0:5", "1:2:3:4:5:6:7:8", "fe80::1"];
    server.set("db.test", ...addresses.map((address) => aaaa(address)));
    expect(await asks(server).resolve6("db.test")).toEqual(addresses);
  });

  test("of type SRV come with priority, weight, port and target, and the addresses of the target", async () => {
    using server = await dnsServer();
    server.set("_pg._tcp.test", srv("db.test", 5432, { priority: 10, weight: 65_535 }), srv(".", 0));
    server.set("db.test", a("10.0.0.1"));
    expect(await asks(server).resolveSrv("_pg._tcp.test")).toEqual([
      { name: "db.test", port: 5432, priority: 10, weight: 65_535 },
      { name: "", port: 0, priority: 0, weight: 0 },
    ]);
  });

  test("are found behind aliases", async () => {
    using server = await dnsServer();
    server.set("alias.test", cname("other.test"));
    server.set("other.test", cname("db.test"));
    server.set("db.test", a("10.0.0.1"));
    expect(await asks(server).resolve4("alias.test")).toEqual(["10.0.0.1"]);
  });

  test("can be replaced and taken away", async () => {
    using server = await dnsServer();
    server.set("db.test", a("10.0.0.1"));
    server.set("db.test", a("10.0.0.2"));
    expect(await asks(server).resolve4("db.test")).toEqual(["10.0.0.2"]);
    server.delete("db.test");
    await expect(asks(server).resolve4("db.test")).rejects.toMatchObject({ code: dns.NOTFOUND });
  });

  test("come over IPv6 as well", async () => {
    using server = await dnsServer("::1");
    server.set("db.test", a("10.0.0.1"));
    expect(await asks(server).resolve4("db.test")).toEqual(["10.0.0.1"]);
  });
});

describe("failures", () => {
  for (const [how, code] of [
    ["nxdomain", dns.NOTFOUND],
    // Bun 1.4.5 has one word for both.
    ["nodata", dns.NOTFOUND],
    ["servfail", dns.SERVFAIL],
    ["refused", dns.REFUSED],
    ["garbage", dns.BADRESP],
    ["silent", dns.TIMEOUT],
  ] as const) {
    test(`${how} is seen as ${code}, for the type that was meant, until taken back`, async () => {
      using server = await dnsServer();
      server.set("db.test", a("10.0.0.1"), aaaa("::1"));
      server.fail("db.test", how, "AAAA");
      expect(await asks(server).resolve4("db.test")).toEqual(["10.0.0.1"]);
      await expect(asks(server).resolve6("db.test")).rejects.toMatchObject({ code });
      server.fail("db.test", undefined, "AAAA");
      expect(await asks(server).resolve6("db.test")).toEqual(["::1"]);
    });
  }

  test("truncated: the asker comes again over TCP, and gets what no datagram holds", async () => {
    using server = await dnsServer();
    const addresses = Array.from({ length: 1_000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
    server.set("db.test", ...addresses.map((address) => a(address)));
    server.fail("db.test", "truncated");
    expect(await asks(server).resolve4("db.test")).toEqual(addresses);
    expect(server.asked.map(({ over }) => over)).toEqual(["udp", "tcp"]);
  });

  test("held: the answer comes at release, from the records of then", async () => {
    using server = await dnsServer();
    server.set("db.test", a("10.0.0.1"));
    server.fail("db.test", "held");
    const answer = asks(server).resolve4("db.test");
    await server.wasAsked("db.test");
    server.set("db.test", a("10.0.0.2"));
    server.release("db.test");
    expect(await answer).toEqual(["10.0.0.2"]);
    expect(await asks(server).resolve4("db.test")).toEqual(["10.0.0.2"]);
  });
});

test("questions are counted by name and type", async () => {
  using server = await dnsServer();
  server.set("db.test", a("10.0.0.1"));
  await Promise.all([
    asks(server).resolve4("db.test"),
    asks(server)
      .resolve6("db.test")
      .catch(() => {}),
  ]);
  await asks(server).resolve4("db.test");
  expect([server.count("db.test"), server.count("db.test", "A"), server.count("db.test", "AAAA")]).toEqual([3, 2, 1]);
  expect(server.count("other.test")).toBe(0);
  server.forget();
  expect(server.asked).toEqual([]);
});

test("over TCP a message may come in pieces, and two in one", async () => {
  using server = await dnsServer();
  server.set("db.test", a("10.0.0.1"));
  await using peer = await connect(server.port);
  const message = withLength(question);
  const answerBytes = 2 + question.length + "db.test".length + 2 + 10 + 4;
  for (const byte of message) await peer.send(Uint8Array.of(byte));
  const first = await peer.read(answerBytes);
  expect([...first.subarray(-4)]).toEqual([10, 0, 0, 1]);
  await peer.send(Buffer.concat([message, message]));
  expect(await peer.read(2 * answerBytes)).toEqual(new Uint8Array(Buffer.concat([first, first])));
});

describe("reading a question", () => {
  test("gives its name in lower case, and its section as it came", () => {
    expect(readQuestion(question)).toEqual({ id: 0x1234, name: "db.test", type: "A", section: question.slice(12) });
  });

  test("of another type says so", () => {
    expect(readQuestion(question.with(-3, 16))?.type).toBe("OTHER");
  });

  test("gives nothing for any beginning of it, an answer, or two questions", () => {
    for (let length = 0; length < question.length; length++) {
      expect(readQuestion(question.subarray(0, length))).toBeUndefined();
    }
    expect(readQuestion(question.with(2, 0x81))).toBeUndefined();
    expect(readQuestion(question.with(5, 2))).toBeUndefined();
    expect(readQuestion(question.with(12, 0xc0))).toBeUndefined();
  });
});
