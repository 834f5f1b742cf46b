/** The prose of docs/configuration.md around the generated tables. */
import { formatDurationMs, DURATION_MS_MAX } from "../core/duration.ts";

/** What a reader needs before the tables. */
export const BEFORE = `
# Configuration

This page is generated from the schema by \`bun src/config/write-reference.ts\`; a test compares the two.

sluice reads one TOML file, \`config.toml\` or what \`--config\` and \`SLUICE_CONFIG\` name, and lays the environment over it.
\`sluice check\` reports every problem of both without starting anything, \`sluice check --print\` shows the effective configuration,
and \`sluice schema\` prints a JSON Schema for editors. The smallest useful file:

\`\`\`toml
[[listener]]
name = "web"
listen = "127.0.0.1:8080"
backend = "app"

[[backend]]
name = "app"
endpoints = ["127.0.0.1:9000", "127.0.0.1:9001"]
\`\`\`

## Values

- **Durations** are whole numbers with units, the largest unit first: \`"250ms"\`, \`"5s"\`, \`"1m30s"\`, \`"1h"\`. \`"0s"\` means off. The longest is \`"${formatDurationMs(DURATION_MS_MAX)}"\` (365 days).
- **Addresses** are \`"127.0.0.1:80"\`, \`"[::1]:80"\` or \`"name:80"\`. In \`listen\`, \`":80"\` is short for \`"0.0.0.0:80"\`, every IPv4 address; \`"[::]:80"\` is every IPv6 and IPv4 address. An endpoint needs its host. Addresses that begin with \`unix:\` or \`srv:\` are not supported yet.
- **Names** of listeners and backends have at most 64 letters, digits, \`-\` and \`_\`, and begin with a letter or a digit. No two may differ only in case, \`-\` and \`_\`, because variables could not tell them apart.
- What is marked **not supported yet** is accepted at its default, which asks for nothing, and refused otherwise.
- The file is UTF-8, at most 1 MiB.

## Environment

- \`SLUICE_<TABLE>_<KEY>\` sets a key of a table: \`SLUICE_TIMEOUTS_CONNECT=2s\`. An entry of a list is addressed by its name, in upper case and with \`_\` for \`-\`: \`SLUICE_LISTENER_WEB_LISTEN=:80\`, \`SLUICE_LISTENER_WEB_TIMEOUTS_IDLE=10m\`.
- Lists are separated by commas: \`SLUICE_BACKEND_APP_ENDPOINTS=10.0.0.5:80,10.0.0.6:80\`. Numbers may have \`_\` between digits; booleans are \`true\` and \`false\`.
- \`…_FILE\` reads the value from a file of at most 64 KiB and drops one line end at its end: \`SLUICE_ADMIN_TOKEN_FILE=/run/secrets/token\`. Setting both a variable and its \`_FILE\` is an error.
- The environment beats the file. A variable that is set to nothing sets an empty value.
- A variable of a table that the file does not have adds the table: \`SLUICE_ADMIN_LISTEN=127.0.0.1:9900\` turns the admin server on.
- Listeners and backends are added by variables only when the file has none of that kind, and then get their names in lower case. So a container needs no file (\`SLUICE_CONFIG=/dev/null\`, \`SLUICE_LISTENER_WEB_LISTEN\`, \`SLUICE_LISTENER_WEB_BACKEND\`, \`SLUICE_BACKEND_APP_ENDPOINTS\`), and beside a file a mistyped name is an error instead of a new listener.
- An unknown \`SLUICE_\` variable is an error. Exempt are the variables that Kubernetes sets for a Service named \`sluice\` (\`SLUICE_SERVICE_HOST\`, \`SLUICE_PORT=tcp://…\` and the like).
`;

/** What is said after them. */
export const AFTER = `
## What is checked across keys

- There is at least one listener; each names a backend that exists; names are unique; a backend lists each endpoint once.
- No two listeners, nor a listener and the admin server, share an address. \`0.0.0.0\` covers every IPv4 address of its port, \`[::]\` every address; port 0 never collides.
- \`limits.connections\` times two, plus a reserve, fits into the hard limit of file descriptors. The default is lowered to what fits, with a warning; when not even one connection fits, it is a problem like any other.
- The admin server has a token when its address is not loopback.
- A timeout that is written down can fire: \`connect\` is less than \`lifetime\`, \`response\` and \`idle\` are at most \`lifetime\`, \`half_closed\` is at most \`idle\`, \`shutdown.idle\` is less than \`shutdown.drain\`. A default, and a global value that a listener undercuts, may be longer.
- A backend that no listener uses is a warning.

## Diagnostics

All problems of the file and the environment are reported at once, one line each: where, which key, what was found, what was wanted.

\`\`\`text
config.toml:14:11 listener.web.backend: unknown backend "ap" (did you mean "app"?)
SLUICE_TIMEOUTS_IDLE timeouts.idle: found "60", wanted a duration with its unit, such as "60s" or "60ms"
SLUICE_ADMIN_TOKEN_FILE (/run/secrets/token) admin.token: cannot read the value: no such file, wanted a readable file
\`\`\`

Values of secrets are never shown.
`;
