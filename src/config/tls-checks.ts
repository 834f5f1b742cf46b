/** Whether the certificates and keys that a configuration names can be used: read, parsed and matched as a run would. */
import type { Loaded } from "../tls/credentials.ts";
import {
  readClientCredentials,
  readServerCredentials,
  type ClientTlsFiles,
  type ReadText,
  type ServerTlsFiles,
} from "../tls/files.ts";
import type { Draft, Findings } from "./check.ts";
import type { Path } from "./diagnostic.ts";
import type { Config } from "./schema.ts";

/** Adds the problems and warnings of all TLS tables that are complete. */
export function checkTls(draft: Draft<Config>, read: ReadText, { problems, warnings }: Findings): void {
  const report = (path: Path, loaded: Loaded<unknown>): void => {
    const [messages, list] = loaded.ok ? [loaded.warnings, warnings] : [loaded.problems, problems];
    // One line for each place: they are told together.
    if (messages.length > 0) list.push({ path, at: "key", message: messages.join("; ") });
  };
  const nowMs = Date.now();
  for (const [index, listener] of (draft.listeners ?? []).entries()) {
    const tls = listener?.tls;
    if (!isComplete<ServerTlsFiles>(tls)) continue;
    if (tls.clientCert === "optional" && tls.clientCa === "") {
      const path = ["listener", index, "tls", "client_cert"];
      warnings.push({ path, at: "value", message: "does nothing without client_ca" });
    }
    report(["listener", index, "tls"], readServerCredentials(tls, read, nowMs));
  }
  for (const [index, backend] of (draft.backends ?? []).entries()) {
    const tls = backend?.tls;
    if (!isComplete<ClientTlsFiles>(tls)) continue;
    report(["backend", index, "tls"], readClientCredentials(tls, read, nowMs));
  }
}

/** Whether a table is there and no value of it was invalid. */
function isComplete<T>(table: object | undefined): table is T & object {
  return table !== undefined && Object.values(table).every((value) => value !== undefined);
}
