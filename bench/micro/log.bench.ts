/** Ways to write the line of an access record, in blocks as the log does: `bun bench/micro/log.bench.ts`. */
import { bench, do_not_optimize, run } from "mitata";
import pino from "pino";
import { accessLine } from "../../src/telemetry/access-line.ts";

/** As many as make a block of 64 KiB. */
const blockRecords = 164;
const records = Array.from({ length: blockRecords }, (_, index) => ({
  id: 100_000 + index,
  listener: "web",
  client: `127.0.0.1:${40_000 + index}`,
  backend: "app",
  endpoint: "127.0.0.1:9000",
  route: null,
  sni: null,
  bytes_to_backend: 64,
  bytes_to_client: 64 + index,
  connect_ms: (100 + index) / 1000,
  first_byte_ms: (300 + index) / 1000,
  duration_ms: (500 + index) / 1000,
  attempts: 1,
  engine: "copy",
  end: "backend_finished",
}));
const block = Buffer.allocUnsafeSlow(256 * 1024);
const timeMs = Date.now();

bench("as it is: JSON.stringify, one text, one encoding", () => {
  let text = "";
  for (const record of records) text += accessLine(record, timeMs);
  return do_not_optimize(block.write(text));
});

bench("each line encoded by itself", () => {
  let at = 0;
  for (const record of records) at += block.write(accessLine(record, timeMs), at);
  return do_not_optimize(at);
});

bench("a template of the fields, escapes where they are needed", () => {
  let text = "";
  for (const record of records) text += byHand(record, timeMs);
  return do_not_optimize(block.write(text));
});

let written = "";
const logger = pino(
  { base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` },
  { write: (line) => void (written += line) },
);
bench("pino", () => {
  written = "";
  for (const record of records) logger.info(record, "connection");
  return do_not_optimize(block.write(written));
});

await run();

function byHand(record: (typeof records)[number], ms: number): string {
  return `{"level":"info","time":"${new Date(ms).toISOString()}","id":${record.id},"listener":${quoted(record.listener)},"client":${quoted(record.client)},"backend":${quoted(record.backend)},"endpoint":${quoted(record.endpoint)},"route":${quoted(record.route)},"sni":${quoted(record.sni)},"bytes_to_backend":${record.bytes_to_backend},"bytes_to_client":${record.bytes_to_client},"connect_ms":${record.connect_ms},"first_byte_ms":${record.first_byte_ms},"duration_ms":${record.duration_ms},"attempts":${record.attempts},"engine":${quoted(record.engine)},"end":${quoted(record.end)},"msg":"connection"}\n`;
}

function quoted(text: string | null): string {
  if (text === null) return "null";
  return /^[ !#-[\]-~]*$/.test(text) ? `"${text}"` : JSON.stringify(text);
}
