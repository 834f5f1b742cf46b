/** `sluice demo`: two embedded HTTP backends, the proxy and the admin server, all on loopback. */
import { serveHttp, type HttpServer } from "../admin/http-server.ts";
import type { App } from "../app.ts";
import { configFromValue } from "../config/load.ts";
import { parseOptions, type Command } from "./command.ts";
import { inTypedWords, reportProblems, systemFacts } from "./configuration.ts";
import { serve } from "./serve.ts";
import { exitCodes, type CommandSurroundings } from "./surroundings.ts";

/** Where the proxy and the admin server listen when nobody says otherwise and nothing else does. */
const preferred = { listen: "127.0.0.1:8080", admin: "127.0.0.1:9900" };

/** The longest a demo backend sleeps before it answers, in ms. */
const sleepMaxMs = 60_000;

/** See its help. */
export const demo: Command = {
  name: "demo",
  usage: "sluice demo [--listen ADDRESS] [--admin ADDRESS]",
  help: `Starts two embedded HTTP backends, the proxy in front of them and the admin server, prints what to try, and ends
on Ctrl+C. Nothing is reachable from outside this machine.

  --listen ADDRESS   where the proxy listens (${preferred.listen}, or a free port)
  --admin ADDRESS    where the admin server listens (${preferred.admin}, or a free port)`,
  async execute(args, surroundings) {
    const options = { listen: { type: "string" }, admin: { type: "string" } } as const;
    const { values } = parseOptions(args, options, 0);
    const signals = surroundings.signals();
    const backends = ["one", "two"].map(demoBackend);
    try {
      const config = configFromValue(
        {
          shutdown: { drain: "10s" },
          listener: [{ name: "web", listen: values.listen ?? (await freeOf(preferred.listen)), backend: "demo" }],
          backend: [{ name: "demo", endpoints: backends.map((backend) => backend.address) }],
          admin: { listen: values.admin ?? (await freeOf(preferred.admin)) },
        },
        {},
        systemFacts(),
      );
      if (!config.ok) {
        const typed = new Map([
          ["listener.web.listen", "--listen"],
          ["admin.listen", "--admin"],
        ]);
        reportProblems(inTypedWords(config.problems, typed), surroundings);
        return exitCodes.usage;
      }
      return await serve(config.config, signals, surroundings, {
        started: (app) => explain(app, backends, surroundings),
      });
    } finally {
      await Promise.all(backends.map((backend) => backend.stop()));
    }
  },
};

/** An HTTP backend that says who it is, and takes its time when asked to. */
function demoBackend(name: string): HttpServer {
  let requests = 0;
  return serveHttp(`demo backend "${name}"`, { host: "127.0.0.1", port: 0 }, async (request) => {
    requests++;
    const url = new URL(request.url);
    const sleepMs = Math.min(Number(url.searchParams.get("ms") ?? 0) || 0, sleepMaxMs);
    if (url.pathname === "/slow") await Bun.sleep(sleepMs);
    return new Response(`backend ${name}: request ${requests}, ${request.method} ${url.pathname}\n`, {
      // One connection for each request, so that the backends take turns.
      headers: { connection: "close" },
    });
  });
}

/** The address, or the same host with a free port when something listens there. */
async function freeOf(address: string): Promise<string> {
  const host = address.slice(0, address.lastIndexOf(":"));
  const port = Number(address.slice(host.length + 1));
  try {
    await serveHttp("port probe", { host, port }, () => new Response()).stop();
    return address;
  } catch {
    return `${host}:0`;
  }
}

function explain(app: App, backends: readonly HttpServer[], { out }: CommandSurroundings): void {
  const proxy = app.listeners[0]!.address;
  const admin = app.adminAddress!;
  out(`
sluice forwards http://${proxy} to two backends (${backends.map((backend) => backend.address).join(" and ")}).
In another terminal, try:

  curl http://${proxy}/                    # the backends take turns
  curl "http://${proxy}/slow?ms=5000"      # then press Ctrl+C here: the request completes first
  curl http://${admin}/readyz              # what an orchestrator asks
  curl http://${admin}/status              # everything in figures

The dashboard is at http://${admin}/ for a browser.

Each connection is logged below when it ends. Ctrl+C drains and stops; twice ends at once.

`);
}
