/** Connections at once from each address. */
import { expect, test } from "bun:test";
import { ConnectionsPerIp } from "../../src/listener/connections-per-ip.ts";

test("an address gets as many as it may, and others are not concerned", () => {
  const connections = new ConnectionsPerIp(2);
  expect(["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2"].map((host) => connections.take(host))).toEqual([
    true,
    true,
    false,
    true,
  ]);
  expect(connections.addresses).toBe(2);
});

test("a place that was given back is free at once, and an address without connections is forgotten", () => {
  const connections = new ConnectionsPerIp(1);
  for (let turn = 0; turn < 3; turn++) {
    expect(connections.take("10.0.0.1")).toBe(true);
    expect(connections.take("10.0.0.1")).toBe(false);
    expect(connections.addresses).toBe(1);
    connections.giveBack("10.0.0.1");
    expect(connections.addresses).toBe(0);
  }
});

test("what was refused took nothing", () => {
  const connections = new ConnectionsPerIp(1);
  connections.take("10.0.0.1");
  connections.take("10.0.0.1");
  connections.giveBack("10.0.0.1");
  expect(connections.addresses).toBe(0);
});

test("an address is the same however it is written", () => {
  const connections = new ConnectionsPerIp(3);
  expect(["10.0.0.1", "::ffff:10.0.0.1", "::FFFF:a00:1", "10.0.0.1"].map((host) => connections.take(host))).toEqual([
    true,
    true,
    true,
    false,
  ]);
  expect(
    ["2001:db8::1", "2001:DB8:0::1", "2001:db8:0:0:0:0:0:1", "2001:db8::1"].map((host) => connections.take(host)),
  ).toEqual([true, true, true, false]);
  expect(connections.addresses).toBe(2);
  for (const host of ["::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1"]) connections.giveBack(host);
  expect(connections.addresses).toBe(1);
});

test("giving back what was not taken is a mistake of ours, and so is a limit without a place", () => {
  const connections = new ConnectionsPerIp(1);
  expect(() => connections.giveBack("10.0.0.1")).toThrow("a connection was given back that its address had not taken");
  expect(() => new ConnectionsPerIp(0)).toThrow("a limit of connections for an address must leave one");
});
