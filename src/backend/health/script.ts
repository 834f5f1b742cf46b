/** What a check says to an endpoint, and who judges the answer. */
import { unreachable } from "../../core/assert.ts";
import type { Endpoint } from "../endpoint.ts";
import { ExpectedBytes } from "./expected-bytes.ts";
import { defaultHost, httpRequest } from "./http-request.ts";
import type { HealthSettings } from "./settings.ts";
import { StatusLine } from "./status-line.ts";
import { good, type AnswerReader, type Verdict } from "./verdict.ts";

/** Made once for an endpoint. */
export interface Script {
  /** What is sent as soon as there is a connection. */
  readonly send: Uint8Array;
  /**
   * Makes the reader for the answer of one check. Or, where no answer is asked for: the verdict once everything has
   * been sent.
   */
  readonly judge: (() => AnswerReader) | Verdict;
}

const nothing = new Uint8Array(0);
const connected = good("connected");
const taken = good("taken", "finish");

/** `secure`: the endpoint is spoken to over TLS. */
export function scriptFor(settings: HealthSettings, endpoint: Endpoint, secure: boolean): Script {
  const { type, status, send, expect } = settings;
  switch (type) {
    case "tcp":
      return { send: nothing, judge: connected };
    case "http":
      return { send: requestOf(settings, endpoint, secure), judge: () => new StatusLine(status) };
    case "exchange":
      if (expect.length > 0) return { send, judge: () => new ExpectedBytes(expect) };
      return { send, judge: send.length > 0 ? taken : connected };
    default:
      return unreachable(type);
  }
}

function requestOf({ path, host }: HealthSettings, { host: name, dialAddress }: Endpoint, secure: boolean): Uint8Array {
  const port = dialAddress.kind === "tcp" ? dialAddress.port : undefined;
  return httpRequest(path, host === "" ? defaultHost(name, port, secure) : host);
}
