/** The members of a backend: from what is configured, and configured anew, to its endpoints. */
import { describe, expect, test } from "bun:test";
import { Members, type MemberSettings } from "../../src/backend/members.ts";
import { addressSet, formatName, type Name } from "../../src/backend/names/name.ts";
import type { Answer, NameResolver } from "../../src/backend/names/resolver.ts";
import type { Endpoint } from "../../src/backend/endpoint.ts";
import { parseEndpointAddress } from "../../src/core/address.ts";
import { backendWith, clientHost } from "../support/balanced.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const gone: Answer = { ok: false, why: "no server" };

/** A member as it is written, of weight 1 and no backup unless said otherwise. */
function member(written: string, settings: Partial<MemberSettings> = {}): MemberSettings {
  const parsed = parseEndpointAddress(written);
  if (!parsed.ok) throw new Error(`${written} is no address`);
  return { address: parsed.value, weight: 1, backup: false, connectionsMax: 0, ...settings };
}

/** The answer for a host: addresses at port 80. */
function hosts(...written: string[]): Answer {
  const rest = { port: 80, priority: 0, weight: undefined, target: "a.test" };
  return { ok: true, addresses: addressSet(written.map((host) => ({ host, ...rest }))) };
}

/** Answers at once with what it has for a name as it is written; else the question waits for `answer`. */
class ScriptedResolver implements NameResolver {
  readonly asked: string[] = [];
  readonly answers = new Map<string, Answer>();
  readonly #waiting = new Map<string, ((answer: Answer) => void)[]>();

  resolve(name: Name): Promise<Answer> {
    const written = formatName(name);
    this.asked.push(written);
    const known = this.answers.get(written);
    if (known !== undefined) return Promise.resolve(known);
    const { promise, resolve } = Promise.withResolvers<Answer>();
    this.#waiting.set(written, [...(this.#waiting.get(written) ?? []), resolve]);
    return promise;
  }

  answer(written: string, answer: Answer): void {
    for (const settle of this.#waiting.get(written) ?? []) settle(answer);
    this.#waiting.delete(written);
  }
}

class Setup {
  readonly clock = new VirtualClock();
  readonly resolver = new ScriptedResolver();
  readonly backend = backendWith([], this.clock);
  readonly members: Members;
  readonly #heard: string[] = [];

  constructor(configured: readonly MemberSettings[], resolveMs = 30_000) {
    this.backend.observe({
      added: ({ name }) => void this.#heard.push(`+ ${name}`),
      removed: ({ name }) => void this.#heard.push(`- ${name}`),
    });
    this.members = new Members(this.backend, configured, resolveMs, this.resolver, this.clock, {
      resolved: (name, addresses) => void this.#heard.push(`${name} is ${addresses.join(" ")}`),
      unresolved: (name, why, kept) => void this.#heard.push(`${name} failed: ${why}, ${kept} kept`),
    });
  }

  /** Starts it; everything that is known at once has been taken by then. */
  async start(): Promise<this> {
    void this.members.start();
    await this.clock.advance(0);
    this.heard();
    return this;
  }

  /** Learns, when the resolver knows, and configures. */
  async reload(configured: readonly MemberSettings[], resolveMs = 30_000): Promise<void> {
    await this.members.learn(configured);
    this.members.configure(configured, resolveMs);
  }

  get names(): string[] {
    return this.backend.endpoints.map(({ name }) => name);
  }

  endpoint(name: string): Endpoint {
    return this.backend.endpoints.find((endpoint) => endpoint.name === name)!;
  }

  /** What was heard since it was last asked for. */
  heard(): string[] {
    return this.#heard.splice(0);
  }
}

/** Whether a promise has settled. */
async function settled(setup: Setup, promise: Promise<void>): Promise<boolean> {
  let is = false;
  void promise.then(() => (is = true));
  await setup.clock.advance(0);
  return is;
}

describe("another configuration", () => {
  test("keeps the endpoints whose address stays, with all that is known of them", async () => {
    const setup = await new Setup([member("10.0.0.1:80"), member("10.0.0.2:80"), member("unix:/run/x.sock")]).start();
    const [first, , socket] = setup.backend.endpoints as Endpoint[];
    setup.backend.setHealth(first!, "down");
    setup.backend.setState(socket!, "drain");
    setup.backend.failed(first!, "timeout");
    await setup.reload([member("10.0.0.3:80"), member("unix:/run/x.sock"), member("10.0.0.1:80")]);
    expect(setup.names).toEqual(["10.0.0.3:80", "unix:/run/x.sock", "10.0.0.1:80"]);
    expect(setup.heard()).toEqual(["- 10.0.0.2:80", "+ 10.0.0.3:80"]);
    expect([setup.backend.endpoints[2], setup.backend.endpoints[1]]).toEqual([first!, socket!]);
    expect([first!.health, first!.failures, socket!.state]).toEqual(["down", 1, "drain"]);
    setup.backend.stop();
  });

  test("changes weight, tier and limit of an endpoint that stays, under open sessions", async () => {
    const setup = await new Setup([member("10.0.0.1:80"), member("10.0.0.2:80")]).start();
    const held = [0, 1, 2, 3].map((client) => setup.backend.take(clientHost(client), []) as Endpoint);
    const [first, second] = setup.backend.endpoints as [Endpoint, Endpoint];
    await setup.reload([
      member("10.0.0.1:80", { backup: true, weight: 5, connectionsMax: 2 }),
      member("10.0.0.2:80", { connectionsMax: 2 }),
    ]);
    expect([first.weight, first.active, second.active]).toEqual([5, 2, 2]);
    expect(setup.backend.take("192.0.2.1", [])).toBe("limit_endpoint");
    setup.backend.giveBack(held.find((endpoint) => endpoint === second)!);
    expect(setup.backend.take("192.0.2.1", [])).toBe(second);
    setup.backend.setState(second, "down");
    expect(setup.backend.take("192.0.2.1", [])).toBe("limit_endpoint");
    setup.backend.giveBack(first);
    expect(setup.backend.take("192.0.2.1", [])).toBe(first);
  });

  test("that is the same changes nothing, asks nothing and tells nothing", async () => {
    const configured = [member("a.test:80"), member("10.0.0.1:80"), member("srv:_x._tcp.test")];
    const setup = new Setup(configured);
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.7", "10.0.0.8"));
    setup.resolver.answers.set("srv:_x._tcp.test", gone);
    await setup.start();
    const before = setup.backend.endpoints;
    for (let time = 0; time < 50; time++) await setup.reload(configured.map((one) => ({ ...one })));
    expect(setup.heard()).toEqual([]);
    expect(setup.backend.endpoints).toEqual(before);
    expect(setup.resolver.asked).toEqual(["a.test:80", "srv:_x._tcp.test"]);
    // One for each name.
    expect(setup.clock.pendingTimers).toBe(2);
    setup.members.stop();
    expect(setup.clock.pendingTimers).toBe(0);
  });

  test("says how an endpoint is configured now, which its TLS goes by", async () => {
    const setup = await new Setup([member("10.0.0.1:80")]).start();
    const [endpoint] = setup.backend.endpoints;
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.1"));
    await setup.reload([member("a.test:80")]);
    expect(setup.backend.endpoints).toEqual([endpoint!]);
    expect([endpoint!.configured, endpoint!.host, endpoint!.name]).toEqual(["a.test:80", "a.test", "10.0.0.1:80"]);
    setup.members.stop();
  });

  test("lets a name that can't be resolved at the moment keep its last good answer", async () => {
    const setup = new Setup([member("a.test:80")]);
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.1"));
    await setup.start();
    const [endpoint] = setup.backend.endpoints;
    setup.resolver.answers.set("a.test:80", gone);
    await setup.reload([member("a.test:80", { weight: 3 }), member("10.0.0.2:80")]);
    expect(setup.names).toEqual(["10.0.0.1:80", "10.0.0.2:80"]);
    expect([setup.endpoint("10.0.0.1:80") === endpoint, endpoint!.weight]).toEqual([true, 3]);
    await setup.clock.advance(40_000);
    expect(setup.heard()).toEqual(["+ 10.0.0.2:80", "a.test:80 failed: no server, 1 kept"]);
    await setup.reload([member("a.test:80")]);
    expect(setup.names).toEqual(["10.0.0.1:80"]);
    setup.members.stop();
    setup.backend.stop();
    expect(setup.clock.pendingTimers).toBe(0);
  });

  test("replaces addresses by names that stand for them without a moment in between", async () => {
    const setup = await new Setup([member("10.0.0.1:80"), member("10.0.0.2:80")]).start();
    const before = setup.backend.endpoints;
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.3", "10.0.0.1"));
    setup.resolver.answers.set("b.test:80", hosts("10.0.0.2"));
    await setup.reload([member("a.test:80"), member("b.test:80")]);
    expect(setup.names).toEqual(["10.0.0.1:80", "10.0.0.3:80", "10.0.0.2:80"]);
    expect([setup.backend.endpoints[0], setup.backend.endpoints[2]]).toEqual([before[0]!, before[1]!]);
    expect(setup.heard()).toEqual([
      "+ 10.0.0.3:80",
      "a.test:80 is 10.0.0.1:80 10.0.0.3:80",
      "b.test:80 is 10.0.0.2:80",
    ]);
    setup.members.stop();
  });

  test("asks no more for names that have left, and no timer of theirs is left", async () => {
    const setup = new Setup([member("a.test:80"), member("b.test:80"), member("c.test:80")]);
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.1"));
    setup.resolver.answers.set("b.test:80", gone);
    await setup.start();
    await setup.reload([member("10.0.0.1:80")]);
    expect(setup.names).toEqual(["10.0.0.1:80"]);
    expect(setup.clock.pendingTimers).toBe(0);
    // The answer to a question that was under way comes too late.
    setup.resolver.answer("c.test:80", hosts("10.0.0.9"));
    await setup.clock.advance(100_000);
    expect([setup.names, setup.heard()]).toEqual([["10.0.0.1:80"], []]);
    expect(setup.resolver.asked).toEqual(["a.test:80", "b.test:80", "c.test:80"]);
  });

  test("of which nothing was learnt is asked for, and filled when there is an answer", async () => {
    const setup = await new Setup([member("10.0.0.1:80")]).start();
    setup.members.configure([member("10.0.0.1:80"), member("a.test:80")], 30_000);
    expect(setup.names).toEqual(["10.0.0.1:80"]);
    setup.resolver.answer("a.test:80", hosts("10.0.0.2"));
    await setup.clock.advance(0);
    expect(setup.names).toEqual(["10.0.0.1:80", "10.0.0.2:80"]);
    setup.members.stop();
    setup.backend.stop();
    expect(setup.clock.pendingTimers).toBe(0);
  });

  test("has its own time for asking again", async () => {
    const setup = new Setup([member("a.test:80")], 30_000);
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.1"));
    await setup.start();
    setup.members.configure([member("a.test:80")], 1_000);
    await setup.clock.advance(11_500);
    expect(setup.resolver.asked.length).toBeWithin(10, 14);
    setup.members.stop();
  });

  test("after the stop changes nothing", async () => {
    const setup = await new Setup([member("10.0.0.1:80")]).start();
    setup.members.stop();
    await setup.reload([member("10.0.0.2:80"), member("a.test:80")]);
    expect([setup.names, setup.resolver.asked, setup.clock.pendingTimers]).toEqual([["10.0.0.1:80"], [], 0]);
  });
});

describe("while the first start is under way", () => {
  test("another configuration leaves it to wait for the names that stay", async () => {
    const setup = new Setup([member("a.test:80"), member("b.test:80")]);
    const start = setup.members.start();
    setup.resolver.answers.set("c.test:80", hosts("10.0.0.3"));
    await setup.reload([member("a.test:80"), member("c.test:80")]);
    expect(setup.names).toEqual(["10.0.0.3:80"]);
    expect(await settled(setup, start)).toBe(false);
    setup.resolver.answer("a.test:80", hosts("10.0.0.1"));
    expect(await settled(setup, start)).toBe(true);
    expect(setup.names).toEqual(["10.0.0.1:80", "10.0.0.3:80"]);
    expect(setup.resolver.asked).toEqual(["a.test:80", "b.test:80", "c.test:80"]);
    setup.members.stop();
    expect(setup.clock.pendingTimers).toBe(0);
  });

  test("one without its names settles it", async () => {
    const setup = new Setup([member("a.test:80")]);
    const start = setup.members.start();
    setup.members.configure([], 0);
    expect(await settled(setup, start)).toBe(true);
  });

  test("or has not begun, the last one counts", async () => {
    const setup = new Setup([member("a.test:80")]);
    await setup.reload([member("10.0.0.1:80"), member("b.test:80")].slice(0, 1));
    expect([setup.names, setup.resolver.asked]).toEqual([[], []]);
    await setup.start();
    expect([setup.names, setup.resolver.asked]).toEqual([["10.0.0.1:80"], []]);
  });
});

describe("learning", () => {
  test("asks for names alone that are not known yet, changes nothing, and is over when each has been asked for", async () => {
    const setup = new Setup([member("a.test:80")]);
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.1"));
    await setup.start();
    const learning = setup.members.learn([
      member("a.test:80"),
      member("b.test:80"),
      member("a.test:81"),
      member("10.0.0.9:80"),
      member("srv:_x._tcp.test"),
    ]);
    expect(setup.resolver.asked.slice(1)).toEqual(["b.test:80", "a.test:81", "srv:_x._tcp.test"]);
    setup.resolver.answer("b.test:80", hosts("10.0.0.2"));
    setup.resolver.answer("a.test:81", gone);
    expect(await settled(setup, learning)).toBe(false);
    setup.resolver.answer("srv:_x._tcp.test", gone);
    expect(await settled(setup, learning)).toBe(true);
    expect([setup.names, setup.heard()]).toEqual([["10.0.0.1:80"], []]);
    setup.members.stop();
  });

  test("is of use once: what was learnt for a configuration that never came is forgotten", async () => {
    const setup = await new Setup([member("10.0.0.1:80")]).start();
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.2"));
    setup.resolver.answers.set("b.test:80", hosts("10.0.0.3"));
    await setup.members.learn([member("a.test:80")]);
    await setup.reload([member("b.test:80")]);
    expect(setup.names).toEqual(["10.0.0.3:80"]);
    setup.resolver.answers.delete("a.test:80");
    setup.members.configure([member("b.test:80"), member("a.test:80")], 30_000);
    expect(setup.names).toEqual(["10.0.0.3:80"]);
    expect(setup.resolver.asked).toEqual(["a.test:80", "b.test:80", "a.test:80"]);
    setup.members.stop();
    setup.backend.stop();
  });

  test("holds for the configuration that it was for, and not for one after it", async () => {
    const setup = await new Setup([]).start();
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.1"));
    await setup.reload([member("a.test:80")]);
    setup.members.configure([], 30_000);
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.2"));
    setup.members.configure([member("a.test:80")], 30_000);
    await setup.clock.advance(0);
    expect([setup.names, setup.resolver.asked]).toEqual([["10.0.0.2:80"], ["a.test:80", "a.test:80"]]);
    setup.members.stop();
  });

  test("that is not over when the configuration comes counts as far as it went", async () => {
    const setup = await new Setup([member("10.0.0.1:80")]).start();
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.2"));
    const configured = [member("a.test:80"), member("b.test:80")];
    const learning = setup.members.learn(configured);
    await setup.clock.advance(0);
    setup.members.configure(configured, 30_000);
    expect(setup.names).toEqual(["10.0.0.2:80"]);
    setup.resolver.answer("b.test:80", hosts("10.0.0.3"));
    expect(await settled(setup, learning)).toBe(true);
    expect(setup.names).toEqual(["10.0.0.2:80", "10.0.0.3:80"]);
    setup.members.stop();
    setup.backend.stop();
  });

  test("settles with the stop, or when another one begins", async () => {
    const setup = await new Setup([]).start();
    const first = setup.members.learn([member("a.test:80")]);
    const second = setup.members.learn([member("b.test:80")]);
    expect([await settled(setup, first), await settled(setup, second)]).toEqual([true, false]);
    setup.members.stop();
    expect(await settled(setup, second)).toBe(true);
    await setup.members.learn([member("c.test:80")]);
    expect(setup.resolver.asked).toEqual(["a.test:80", "b.test:80"]);
  });

  test("a failure begins the name as one that failed: it is told, and asked for again after a second", async () => {
    const setup = await new Setup([]).start();
    setup.resolver.answers.set("a.test:80", gone);
    await setup.reload([member("a.test:80")]);
    expect(setup.heard()).toEqual(["a.test:80 failed: no server, 0 kept"]);
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.1"));
    await setup.clock.advance(1_100);
    expect(setup.names).toEqual(["10.0.0.1:80"]);
    setup.members.stop();
  });
});

describe("what the operator wants of an endpoint", () => {
  test("outlives a reload and a new answer of its name", async () => {
    const setup = new Setup([member("a.test:80")]);
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.1", "10.0.0.2"));
    await setup.start();
    const [first] = setup.backend.endpoints as [Endpoint];
    setup.backend.setState(first, "drain");
    setup.backend.setWeight(first, 7);
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.1", "10.0.0.3"));
    await setup.clock.advance(33_000);
    await setup.reload([member("a.test:80", { backup: true }), member("10.0.0.4:80")]);
    expect(setup.endpoint("10.0.0.1:80")).toBe(first);
    expect([first.state, first.weight]).toEqual(["drain", 7]);
    setup.members.stop();
    setup.backend.stop();
  });

  test("holds for an address that a name has by turns, as do the sessions that it has", async () => {
    const setup = new Setup([member("a.test:80", { connectionsMax: 1 })]);
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.1", "10.0.0.2", "10.0.0.3"));
    await setup.start();
    const [drained, held, free] = setup.backend.endpoints as [Endpoint, Endpoint, Endpoint];
    setup.backend.setState(drained, "drain");
    expect(setup.backend.take("192.0.2.1", [])).toBe(held);
    for (const answer of [hosts("10.0.0.4"), hosts("10.0.0.1", "10.0.0.2", "10.0.0.3")]) {
      setup.resolver.answers.set("a.test:80", answer);
      await setup.clock.advance(33_000);
    }
    expect(setup.endpoint("10.0.0.1:80")).toBe(drained);
    expect(setup.endpoint("10.0.0.2:80")).toBe(held);
    // Of this one nobody wanted anything.
    expect(setup.endpoint("10.0.0.3:80")).not.toBe(free);
    expect(setup.backend.take("192.0.2.1", [])).toBe(setup.endpoint("10.0.0.3:80"));
    expect(setup.backend.take("192.0.2.1", [])).toBe("limit_endpoint");
    setup.members.stop();
    setup.backend.stop();
  });

  test("is remembered of so many that have left, of the last ones", async () => {
    const addresses = Array.from({ length: 1_001 }, (_, index) => member(`10.0.${index >> 8}.${index & 255}:80`));
    const setup = await new Setup(addresses).start();
    for (const endpoint of setup.backend.endpoints) endpoint.state = "drain";
    await setup.reload([]);
    await setup.reload(addresses);
    const states = setup.backend.endpoints.map(({ state }) => state);
    expect([states[0], ...new Set(states.slice(1))]).toEqual(["ready", "drain"]);
  });

  test("of its weight ends when a reload brings another one, and for no other reason", async () => {
    const setup = new Setup([member("10.0.0.1:80"), member("srv:_x._tcp.test")]);
    const records = (weight: number): Answer => ({
      ok: true,
      addresses: [{ host: "10.0.0.2", port: 80, priority: 0, weight, target: "b.test" }],
    });
    setup.resolver.answers.set("srv:_x._tcp.test", records(20));
    await setup.start();
    const [first, second] = setup.backend.endpoints as [Endpoint, Endpoint];
    expect(second.weight).toBe(20);
    setup.backend.setWeight(first, 7);
    setup.backend.setWeight(second, 8);
    // DNS says something else.
    setup.resolver.answers.set("srv:_x._tcp.test", records(30));
    await setup.clock.advance(33_000);
    expect([first.weight, second.weight, second.settings.weight]).toEqual([7, 8, 30]);
    await setup.reload([member("10.0.0.1:80", { connectionsMax: 5 }), member("srv:_x._tcp.test")]);
    expect([first.weight, second.weight]).toEqual([7, 8]);
    await setup.reload([member("10.0.0.1:80", { weight: 2 }), member("srv:_x._tcp.test")]);
    expect([first.weight, second.weight]).toEqual([2, 8]);
    await setup.reload([member("10.0.0.1:80", { weight: 2 }), member("srv:_x._tcp.test", { weight: 0 })]);
    expect([first.weight, second.weight]).toEqual([2, 0]);
    setup.members.stop();
    setup.backend.stop();
  });

  test("of its weight stays when DNS makes it an endpoint of another name", async () => {
    const setup = new Setup([member("a.test:80"), member("b.test:80", { weight: 5 })]);
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.1", "10.0.0.2"));
    setup.resolver.answers.set("b.test:80", hosts("10.0.0.1"));
    await setup.start();
    const endpoint = setup.endpoint("10.0.0.1:80");
    setup.backend.setWeight(endpoint, 7);
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.2"));
    await setup.clock.advance(33_000);
    expect([endpoint.configured, endpoint.settings.weight, endpoint.weight]).toEqual(["b.test:80", 5, 7]);
    expect(setup.endpoint("10.0.0.1:80")).toBe(endpoint);
    setup.members.stop();
  });

  test("of its weight ends as well when the other one comes while it is away", async () => {
    const setup = new Setup([member("a.test:80")]);
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.1", "10.0.0.2"));
    await setup.start();
    for (const endpoint of setup.backend.endpoints) setup.backend.setWeight(endpoint, 7);
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.2"));
    await setup.clock.advance(33_000);
    await setup.reload([member("a.test:80", { weight: 3 })]);
    setup.resolver.answers.set("a.test:80", hosts("10.0.0.1"));
    await setup.clock.advance(33_000);
    expect([setup.names, setup.backend.endpoints[0]!.weight]).toEqual([["10.0.0.1:80"], 3]);
    setup.members.stop();
    setup.backend.stop();
  });
});
