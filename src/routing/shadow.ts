/** Routes that never decide: an earlier route takes all that they would, or their own conditions exclude each other. */
import { asksForHttp, asksForTls, type Condition } from "./condition.ts";
import { OpeningPrefix } from "./opening-prefix.ts";
import { Reading } from "./reading.ts";
import { parseConditions, type RouteSettings } from "./route.ts";

/** What a listener's other settings say of its openings. */
export interface Surroundings {
  /** Whether TLS ends at the listener: then the bytes that routes see came through it. */
  readonly terminatesTls: boolean;
}

/** How every ClientHello begins (RFC 8446 section 5.1): a record of type handshake, of a version 3. */
const clientHelloStart = Uint8Array.of(0x16, 0x03);

/**
 * Each route that one earlier route always shadows, and the first that does. Settings that don't read are passed over. A
 * route that only several others together shadow is not found.
 */
export function shadowedRoutes(
  routes: readonly RouteSettings[],
  surroundings: Surroundings,
): readonly { readonly index: number; readonly by: number }[] {
  const conditions = routes.map(parseConditions);
  const shadowed: { index: number; by: number }[] = [];
  for (const [index, narrow] of conditions.entries()) {
    if (narrow === undefined) continue;
    const by = conditions
      .slice(0, index)
      .findIndex((wide) => wide !== undefined && coversAll(wide, narrow, surroundings));
    if (by !== -1) shadowed.push({ index, by });
  }
  return shadowed;
}

/** Each route that no opening can fit; `why` is a phrase such as `no opening fits "prefix" and "host"`. */
export function impossibleRoutes(
  routes: readonly RouteSettings[],
  surroundings: Surroundings,
): readonly { readonly index: number; readonly why: string }[] {
  const impossible: { index: number; why: string }[] = [];
  for (const [index, settings] of routes.entries()) {
    const conditions = parseConditions(settings) ?? [];
    const { bytes, from } = certainStart(conditions, surroundings);
    if (from === undefined) continue;
    const reading = new Reading(bytes, undefined);
    const other = conditions
      .filter((condition) => !(surroundings.terminatesTls && asksForTls(condition)))
      .find((condition) => condition.judge(reading) === "no");
    if (other === undefined) continue;
    const hint = asksForTls(from) && asksForHttp(other) ? ": what is inside TLS is seen only where TLS ends" : "";
    impossible.push({ index, why: `no opening fits "${from.key}" and "${other.key}"${hint}` });
  }
  return impossible;
}

/** Whether every opening that fits all of `narrow` fits all of `wide`. */
function coversAll(wide: readonly Condition[], narrow: readonly Condition[], surroundings: Surroundings): boolean {
  // What the bytes say that each such opening begins with is said for good.
  const reading = new Reading(certainStart(narrow, surroundings).bytes, undefined);
  return wide.every((condition) => {
    if (narrow.some((other) => condition.covers(other))) return true;
    return !(surroundings.terminatesTls && asksForTls(condition)) && condition.judge(reading) === "yes";
  });
}

/** The bytes that every opening begins with that fits, and the condition that says so. */
function certainStart(
  conditions: readonly Condition[],
  { terminatesTls }: Surroundings,
): { bytes: Uint8Array; from: Condition | undefined } {
  const prefix = conditions.find((condition) => condition instanceof OpeningPrefix);
  const tls = terminatesTls ? undefined : conditions.find(asksForTls);
  if (prefix !== undefined && (tls === undefined || prefix.bytes.byteLength >= clientHelloStart.byteLength)) {
    return { bytes: prefix.bytes, from: prefix };
  }
  return { bytes: tls === undefined ? new Uint8Array() : clientHelloStart, from: tls };
}
