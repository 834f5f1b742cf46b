/** TLS handshakes: what comes of them, in the records of both proxies and for whoever begins one. */
import { describe, expect, test } from "bun:test";
import { echo, listen } from "../support/backend.ts";
import { Handshakes } from "../support/handshakes.ts";
import { clientHello } from "../support/openings.ts";
import { connect } from "../support/peer.ts";
import { lacks } from "../support/programs.ts";
import { startProxy } from "../support/proxy.ts";
import { clientCredentials, originatorOf, serverCredentials, terminatorOf } from "../support/tls.ts";
import type { ClientOptions, ServerOptions } from "../support/tls.ts";

/** What both proxies record of a client that says "ping", where `client` and `server` agree on TLS or do not. */
async function meet(
  client: ClientOptions,
  server: ServerOptions,
): Promise<{ front: object; back: object; answer: string }> {
  await using backend = await listen(echo);
  await using back = startProxy(backend.port, { terminator: terminatorOf(server) });
  await using front = startProxy(back.port, { originator: originatorOf(client), retries: 0 });
  await using peer = await connect(front.port);
  await peer.send("ping");
  void peer.finish().catch(() => {});
  await peer.closed();
  const records = { front: await front.recorded(), back: await back.recorded() };
  return { ...records, answer: peer.text() };
}

describe("the server's certificate", () => {
  test.skipIf(lacks("openssl"))("is chosen by the exact name", async () => {
    const { front, back, answer } = await meet({}, { certificates: ["b", "a"] });
    expect(answer).toBe("ping");
    expect(front).toMatchObject({ end: "client_finished" });
    expect(back).toMatchObject({ end: "client_finished", sni: "a.test" });
  });

  test.skipIf(lacks("openssl"))("is chosen by a wildcard, which stands for one label", async () => {
    expect(await meet({ serverName: "x.b.test" }, { certificates: ["a", "b"] })).toMatchObject({ answer: "ping" });
    const { front } = await meet({ serverName: "x.y.b.test" }, { certificates: ["a", "b"] });
    expect(front).toMatchObject({ end: "tls_failed", reason: expect.stringContaining("x.y.b.test") });
  });

  test.skipIf(lacks("openssl"))("is the first one for a name that none has, and for an address", async () => {
    const stranger = await meet({ serverName: "nobody.test" }, { certificates: ["b", "a"] });
    expect(stranger.front).toMatchObject({ end: "tls_failed", reason: expect.stringContaining("*.b.test") });
    expect(await meet({ serverName: null }, { certificates: ["a", "b"] })).toMatchObject({
      answer: "ping",
      back: { sni: null },
    });
  });

  for (const [what, client, server, reason] of [
    ["for another name", { serverName: "b.test" }, {}, /b\.test/],
    ["for other addresses", { serverName: null }, { certificates: ["b"] }, /127\.0\.0\.1/],
    ["of an authority that is not trusted", {}, { certificates: ["stranger"] }, /unable to verify/],
    ["past its time", {}, { certificates: ["expired"] }, /expired/],
    [
      "of an authority that is not trusted, for this address",
      { serverName: null },
      { certificates: ["stranger"] },
      /unable to verify/,
    ],
    ["past its time, for this address", { serverName: null }, { certificates: ["expired"] }, /expired/],
  ] as const) {
    test.skipIf(lacks("openssl"))(`is refused when it is ${what}`, async () => {
      const { front, back, answer } = await meet(client, server);
      expect(answer).toBe("");
      expect(front).toMatchObject({ end: "tls_failed", engine: null, reason: expect.stringMatching(reason) });
      expect(back).toMatchObject({ bytes_to_backend: 0 });
    });

    test.skipIf(lacks("openssl"))(`is taken though it is ${what}, where nothing is verified`, async () => {
      const { front, answer } = await meet({ ...client, verify: false }, server);
      expect(answer).toBe("ping");
      expect(front).toMatchObject({ end: "client_finished" });
    });
  }
});

describe("the client's certificate", () => {
  const subject = "O=Example, CN=client one";

  for (const clientCert of ["required", "optional"] as const) {
    const server: ServerOptions = { clientCa: "ca", clientCert };

    test.skipIf(lacks("openssl"))(`${clientCert}: the subject of one that is good stands in the record`, async () => {
      const { back, answer } = await meet({ certificate: "client" }, server);
      expect(answer).toBe("ping");
      expect(back).toMatchObject({ end: "client_finished" });
      expect((back as { client_cert: string }).client_cert.split(", ").toSorted()).toEqual(
        subject.split(", ").toSorted(),
      );
    });

    test.skipIf(lacks("openssl"))(`${clientCert}: one of an authority that is not trusted is refused`, async () => {
      const { front, back, answer } = await meet({ certificate: "strangeClient" }, server);
      expect(answer).toBe("");
      expect(back).toMatchObject({
        end: "tls_failed",
        reason: expect.stringContaining("the client's certificate"),
        engine: null,
      });
      expect(back).not.toHaveProperty("client_cert", expect.anything());
      // In TLS 1.3 a client is done before the server has looked at its certificate (RFC 8446, section 4.4.2).
      expect((front as { end: string }).end).toBeOneOf(["backend_reset", "tls_failed", "connect_failed"]);
    });
  }

  for (const alpn of [[], ["h2"]]) {
    test.skipIf(lacks("openssl"))(`required: a client without one is refused (protocols: ${alpn.join()})`, async () => {
      const { back, answer } = await meet({ alpn }, { clientCa: "ca", clientCert: "required", alpn });
      expect(answer).toBe("");
      expect(back).toMatchObject({ end: "tls_failed", reason: "peer did not return a certificate", engine: null });
    });

    test.skipIf(lacks("openssl"))(`required: a client that has one is served (protocols: ${alpn.join()})`, async () => {
      const { answer } = await meet({ certificate: "client", alpn }, { clientCa: "ca", clientCert: "required", alpn });
      expect(answer).toBe("ping");
    });
  }

  test.skipIf(lacks("openssl"))("optional: a client without one is served, and has no name", async () => {
    const { back, answer } = await meet({}, { clientCa: "ca", clientCert: "optional" });
    expect(answer).toBe("ping");
    expect(back).toMatchObject({ end: "client_finished", client_cert: undefined });
  });

  test.skipIf(lacks("openssl"))("one that nobody asks for is not shown", async () => {
    const { back } = await meet({ certificate: "client" }, {});
    expect(back).toMatchObject({ end: "client_finished", client_cert: undefined });
  });
});

describe("application protocols", () => {
  test.skipIf(lacks("openssl"))("both are told the one that is agreed on: the server's first choice", async () => {
    await using handshakes = new Handshakes();
    const { server, client } = await handshakes.meet({ alpn: ["http/1.1", "h2"] }, { alpn: ["h2", "http/1.1"] });
    expect([server.facts!.alpn, client.facts!.alpn]).toEqual(["h2", "h2"]);
  });

  test.skipIf(lacks("openssl"))("none is agreed on where one side has none", async () => {
    await using handshakes = new Handshakes();
    for (const [client, server] of [
      [{ alpn: ["h2"] }, {}],
      [{}, { alpn: ["h2"] }],
    ] as const) {
      const met = await handshakes.meet(client, server);
      expect([met.server.facts!.alpn, met.client.facts!.alpn]).toEqual([undefined, undefined]);
    }
  });

  test.skipIf(lacks("openssl"))("a client that offers only others gets an alert", async () => {
    const { front, back, answer } = await meet({ alpn: ["x"] }, { alpn: ["h2"] });
    expect(answer).toBe("");
    expect(back).toMatchObject({ end: "tls_failed", reason: "no application protocol" });
    expect(front).toMatchObject({ end: "tls_failed", reason: "tlsv1 alert no application protocol" });
  });
});

describe("a client that is no good", () => {
  test.skipIf(lacks("openssl"))("is ended with tls_failed when it goes on with something else", async () => {
    await using back = startProxy(1, { terminator: terminatorOf() });
    await using client = await connect(back.port);
    await client.send(Buffer.concat([clientHello({ serverName: "a.test" }), Buffer.from("GET / HTTP/1.1\r\n\r\n")]));
    await client.closed();
    expect(await back.recorded()).toMatchObject({ end: "tls_failed", attempts: 0, reason: expect.any(String) });
  });

  test.skipIf(lacks("openssl"))("is ended with tls_failed when it speaks no TLS at all", async () => {
    await using back = startProxy(1, { terminator: terminatorOf() });
    await using client = await connect(back.port);
    await client.send("GET / HTTP/1.1\r\n\r\n");
    await client.closed();
    expect(await back.recorded()).toMatchObject({ end: "tls_failed", attempts: 0 });
  });

  test.skipIf(lacks("openssl"))(
    "is reset with inspect_timeout when it says no more after its ClientHello",
    async () => {
      await using back = startProxy(1, { terminator: terminatorOf(), timeouts: { inspectMs: 100 } });
      const credentials = clientCredentials();
      await using handshakes = new Handshakes();
      // A real one, whose answer is never read.
      const hello = await handshakes.helloOf(credentials);
      await using client = await connect(back.port, { paused: true });
      await client.send(hello);
      client.resumeReading();
      expect(await client.wasReset()).toBe("ECONNRESET");
      expect(client.received).toBeGreaterThan(500);
      expect(await back.recorded()).toMatchObject({ end: "inspect_timeout", attempts: 0 });
    },
  );

  for (const how of ["finish", "reset"] as const) {
    test.skipIf(lacks("openssl"))(`is gone when it leaves in the middle (${how})`, async () => {
      await using back = startProxy(1, { terminator: terminatorOf() });
      await using handshakes = new Handshakes();
      await using client = await connect(back.port);
      await client.send(await handshakes.helloOf(clientCredentials()));
      await client.receivedBytes(500);
      if (how === "finish") await client.finish();
      else client.reset();
      expect(await back.recorded()).toMatchObject({ end: "client_reset", attempts: 0, engine: null });
    });
  }
});

describe("an endpoint that is no good", () => {
  test.skipIf(lacks("openssl"))("fails with tls_failed when it speaks no TLS, and the next one is tried", async () => {
    await using bad = await listen(async (peer) => {
      await peer.receivedBytes(100);
      await peer.send("HTTP/1.1 400 Bad Request\r\n\r\n");
      await peer.finished();
      peer.close();
    });
    await using backend = await listen(echo);
    await using back = startProxy(backend.port, { terminator: terminatorOf() });
    await using front = startProxy([bad.port, back.port], { originator: originatorOf() });
    await using client = await connect(front.port);
    await client.send("ping");
    await client.finish();
    await client.finished();
    expect(client.text()).toBe("ping");
    expect(await front.recorded()).toMatchObject({ attempts: 2, end: "client_finished" });

    await using alone = startProxy(bad.port, { originator: originatorOf(), retries: 0 });
    await using other = await connect(alone.port);
    expect(await other.wasReset()).toBe("ECONNRESET");
    expect(await alone.recorded()).toMatchObject({ attempts: 1, end: "tls_failed", reason: expect.any(String) });
  });

  test.skipIf(lacks("openssl"))("fails with connect_timeout when it does not answer", async () => {
    await using silent = await listen();
    await using front = startProxy(silent.port, {
      originator: originatorOf(),
      retries: 0,
      timeouts: { connectMs: 100 },
    });
    await using client = await connect(front.port);
    expect(await client.wasReset()).toBe("ECONNRESET");
    expect(await front.recorded()).toMatchObject({ attempts: 1, end: "connect_timeout" });
    await (await silent.accepted()).wasReset();
  });

  for (const how of ["close", "reset"] as const) {
    test.skipIf(lacks("openssl"))(`fails with connect_failed when it leaves in the middle (${how})`, async () => {
      await using leaving = await listen(async (peer) => {
        await peer.receivedBytes(100);
        if (how === "close") peer.close();
        else peer.reset();
      });
      await using front = startProxy(leaving.port, { originator: originatorOf(), retries: 0 });
      await using client = await connect(front.port);
      expect(await client.wasReset()).toBe("ECONNRESET");
      expect(await front.recorded()).toMatchObject({ attempts: 1, end: "connect_failed" });
    });
  }
});

describe("new certificates", () => {
  test.skipIf(lacks("openssl"))("are shown to the next client, and the sessions that are open go on", async () => {
    await using backend = await listen(echo);
    const terminator = terminatorOf({ certificates: ["stranger"] });
    await using back = startProxy(backend.port, { terminator });
    const originator = originatorOf({ ca: "otherCa" });
    await using front = startProxy(back.port, { originator, retries: 0 });
    await using first = await connect(front.port);
    await first.send("before");
    await first.receivedBytes(6);

    terminator.replace(serverCredentials({ certificates: ["a"] }));
    await using refused = await connect(front.port);
    expect(await refused.wasReset()).toBe("ECONNRESET");
    expect(await front.recorded()).toMatchObject({ end: "tls_failed" });
    originator.replace(clientCredentials({ ca: "ca" }));
    await using second = await connect(front.port);
    await second.send("second");
    await second.receivedBytes(6);

    await first.send("after");
    await first.receivedBytes(11);
    expect(first.text()).toBe("beforeafter");
    await first.finish();
    await first.finished();
  });
});
