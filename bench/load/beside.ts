/**
 * What goes on beside a proxy while it is measured, as a process of its own on the generators' core:
 * `watch URL` scrapes /metrics every second and keeps the dashboard's stream of events open; `collect PORT` takes traces.
 * Ends when it is told to, or with the proxy.
 */
export {};

const [what, where = ""] = Bun.argv.slice(2);

switch (what) {
  case "watch":
    await watch(where);
    break;
  case "collect":
    collect(Number(where));
    break;
  default:
    throw new Error(`cannot do "${what}" beside a proxy, wanted watch or collect`);
}

async function watch(url: string): Promise<void> {
  await waitFor(url);
  await Promise.race([scrape(url), view(url)]);
}

/** The proxy is being started. */
async function waitFor(url: string): Promise<void> {
  for (let turn = 0; turn < 500; turn++) {
    try {
      await (await fetch(`${url}/livez`)).text();
      return;
    } catch {
      await Bun.sleep(20);
    }
  }
  throw new Error(`${url} did not answer within 10 s`);
}

async function scrape(url: string): Promise<void> {
  for (;;) {
    const response = await fetch(`${url}/metrics`).catch(() => undefined);
    if (response === undefined) return;
    if (!(await response.text()).includes("sluice_bytes_total")) throw new Error("that were no metrics");
    await Bun.sleep(1_000);
  }
}

async function view(url: string): Promise<void> {
  const { body } = await fetch(`${url}/events`);
  try {
    for await (const chunk of body!) void chunk;
  } catch {
    // The proxy has ended.
  }
}

function collect(port: number): void {
  Bun.serve({
    hostname: "127.0.0.1",
    port,
    async fetch(request) {
      await request.arrayBuffer();
      return Response.json({});
    },
  });
}
