/** The table of a session's transitions: complete, cell by cell. */
import { expect, test } from "bun:test";
import { phases, type Phase, type SessionEvent } from "../../src/session/phase.ts";

/** Every event, so that each row below says something about each of them. */
const events: readonly SessionEvent[] = [
  "routed",
  "dialed",
  "dialFailed",
  "halvesEnded",
  "resetReceived",
  "endRequested",
  "socketsClosed",
];

/** Where each event leads, in the order of `events`; "bug": it can't come there, and is asserted. */
const wanted: Readonly<Record<Phase, readonly (Phase | "bug")[]>> = {
  inspecting: ["dialing", "bug", "bug", "bug", "bug", "closing", "bug"],
  dialing: ["bug", "forwarding", "dialing", "bug", "bug", "closing", "bug"],
  forwarding: ["bug", "bug", "bug", "closing", "closing", "closing", "bug"],
  closing: ["bug", "bug", "bug", "bug", "bug", "closing", "closed"],
  closed: ["bug", "bug", "bug", "bug", "bug", "closed", "bug"],
};

for (const [phase, row] of Object.entries(wanted) as [Phase, readonly (Phase | "bug")[]][]) {
  test(`a session that is ${phase} has an answer for every event`, () => {
    const found = events.map((event) => phases[phase][event] ?? "bug");
    expect(found).toEqual([...row]);
    expect(row.length).toBe(events.length);
  });
}

test("the table has no phase and no event beyond these", () => {
  expect(Object.keys(phases)).toEqual(Object.keys(wanted));
  const named = new Set(Object.values(phases).flatMap((row) => Object.keys(row)));
  expect([...named].sort()).toEqual([...events].sort());
});

test("every phase can be asked to end, so that nothing can keep a session open", () => {
  for (const row of Object.values(phases)) expect(row.endRequested).toBeDefined();
});

test("nothing leads out of closed, and closing leads nowhere else", () => {
  expect(Object.values(phases.closed)).toEqual(["closed"]);
  expect(new Set(Object.values(phases.closing))).toEqual(new Set<Phase>(["closing", "closed"]));
});

test("every phase is reached from the first, by some way", () => {
  const reached = new Set<Phase>(["inspecting"]);
  for (const phase of reached) for (const next of Object.values(phases[phase])) reached.add(next);
  expect(reached).toEqual(new Set<Phase>(["inspecting", "dialing", "forwarding", "closing", "closed"]));
});
