/** `PUT /backends/NAME/endpoints/ADDRESS`: takes an endpoint out, brings it back, or gives it another weight. */
import { weightMax, type EndpointState } from "../backend/endpoint.ts";
import { unreachable } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import { didYouMean } from "../core/did-you-mean.ts";
import { shortened } from "./access.ts";
import type { AdminPort, EndpointChange } from "./admin-port.ts";
import { readJson } from "./request-body.ts";
import type { BackendStatus, EndpointStatus } from "./status.ts";

const states: readonly EndpointState[] = ["ready", "drain", "down"];
const keys: readonly string[] = ["state", "weight"];

/** `backendText` and `endpointText` are as the path has them, perhaps percent-encoded. */
export async function changeEndpoint(
  port: AdminPort,
  request: Request,
  [backendText, endpointText]: readonly [string, string],
  clock: Clock,
): Promise<Response> {
  const backend = decoded(backendText);
  const endpoint = decoded(endpointText);
  if (backend === undefined) return badEscape(backendText);
  if (endpoint === undefined) return badEscape(endpointText);
  const body = await readJson(request, clock);
  // What is still to come of a body that was given up is not waited for.
  if (!body.ok) return Response.json({ error: body.error }, { status: body.status, headers: { connection: "close" } });
  const problems: string[] = [];
  const change = readChange(body.value, problems);
  if (problems.length > 0) return Response.json({ error: problems.join("; "), problems }, { status: 400 });
  const outcome = port.changeEndpoint(backend, endpoint, change);
  switch (outcome) {
    case "changed":
      return Response.json(endpointsOf(port, backend).find(({ address }) => address === endpoint) ?? {});
    case "no_backend":
      return unknown("there is no backend", backend, namesOf(port.status().backends));
    case "no_endpoint":
      return unknown(`backend ${JSON.stringify(backend)} has no endpoint`, endpoint, addressesOf(port, backend));
    default:
      return unreachable(outcome);
  }
}

/** `undefined`: an escape is broken, or what it stands for is not UTF-8. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function badEscape(text: string): Response {
  const found = JSON.stringify(shortened(text));
  return Response.json({ error: `found a bad percent escape in ${found}, wanted %XX of UTF-8` }, { status: 400 });
}

/** Adds every problem; what it returns is used when there are none. */
function readChange(value: unknown, problems: string[]): EndpointChange {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    problems.push(`found ${described(value)}, wanted an object such as {"state":"drain"} or {"weight":2}`);
    return {};
  }
  const found = new Map<string, unknown>(Object.entries(value));
  for (const key of found.keys()) {
    if (!keys.includes(key)) problems.push(`${shortened(key)}: no such key${didYouMean(key, keys)}`);
  }
  const state = states.find((one) => one === found.get("state"));
  if (found.has("state") && state === undefined) {
    problems.push(`state: found ${described(found.get("state"))}, wanted "ready", "drain" or "down"`);
  }
  const weight = found.get("weight");
  const weighs = typeof weight === "number" && Number.isInteger(weight) && weight >= 0 && weight <= weightMax;
  if (found.has("weight") && !weighs) {
    problems.push(`weight: found ${described(weight)}, wanted a whole number from 0 to ${weightMax}`);
  }
  if (!found.has("state") && !found.has("weight")) problems.push("found no state and no weight, wanted at least one");
  // -0 is a number in JSON as well.
  return { ...(state !== undefined && { state }), ...(weighs && { weight: weight + 0 }) };
}

function described(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  // JSON has no infinity, but numbers that are read as one.
  if (typeof value === "number") return String(value);
  return typeof value === "object" && value !== null ? "an object" : shortened(JSON.stringify(value));
}

function endpointsOf(port: AdminPort, backend: string): readonly EndpointStatus[] {
  return port.status().backends.find(({ name }) => name === backend)?.endpoints ?? [];
}

function addressesOf(port: AdminPort, backend: string): string[] {
  return endpointsOf(port, backend).map(({ address }) => address);
}

function namesOf(backends: readonly BackendStatus[]): string[] {
  return backends.map(({ name }) => name);
}

function unknown(what: string, name: string, known: readonly string[]): Response {
  const error = `${what} ${JSON.stringify(shortened(name))}${didYouMean(name, known)}`;
  return Response.json({ error, known }, { status: 404 });
}
