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
- **Addresses** are \`"127.0.0.1:80"\`, \`"[::1]:80"\` or \`"name:80"\`. In \`listen\`, \`":80"\` is short for \`"0.0.0.0:80"\`, every IPv4 address; \`"[::]:80"\` is every IPv6 and IPv4 address. An endpoint needs its host. Both may be the path of a Unix socket, \`"unix:/run/x.sock"\`; an endpoint may be a service, \`"srv:_pg._tcp.example.com"\`.
- **CIDRs** are networks, \`"10.0.0.0/8"\`, \`"2001:db8::/32"\`, or single addresses, \`"192.0.2.7"\`. An address beyond its prefix, \`"10.1.2.3/8"\`, is refused.
- **Bytes** are text with escapes: \`\\x1f\` (any byte), \`\\r\`, \`\\n\`, \`\\t\`, \`\\0\`, \`\\\\\`; all else counts as its UTF-8. In double quotes TOML itself takes \`\\\\\` for one backslash and knows no \`\\0\`: write \`\\x5c\` and \`\\x00\` there, or single quotes.
- **Files** are paths, relative to the working directory of the process; \`""\` is none. They are read again on a reload, so that none is a pipe.
- **Headers** are a table, \`{ x-api-key = "…" }\`; in a variable \`x-api-key=…,x-tenant=a%20b\`, percent-encoded, as OpenTelemetry has it.
- **Names** of listeners and backends have at most 64 letters, digits, \`-\` and \`_\`, and begin with a letter or a digit. No two may differ only in case, \`-\` and \`_\`, because variables could not tell them apart.
- A reload (SIGHUP, \`POST /reload\`) changes everything but what is marked **read at start only**: that holds from the next start on, and the reload says so. The same goes for adding or removing \`[admin]\`.
- What is marked **not supported yet** is accepted at its default, which asks for nothing, and refused otherwise.
- The file is UTF-8, at most 1 MiB.

## Environment

- \`SLUICE_<TABLE>_<KEY>\` sets a key of a table: \`SLUICE_TIMEOUTS_CONNECT=2s\`. An entry of a list is addressed by its name, in upper case and with \`_\` for \`-\`: \`SLUICE_LISTENER_WEB_LISTEN=:80\`, \`SLUICE_LISTENER_WEB_TIMEOUTS_IDLE=10m\`.
- Lists are separated by commas: \`SLUICE_BACKEND_APP_ENDPOINTS=10.0.0.5:80,10.0.0.6:80\`. Numbers may have \`_\` between digits; booleans are \`true\` and \`false\`. Endpoints of a variable are addresses alone, without a weight.
- \`…_FILE\` reads the value from a file of at most 64 KiB and drops one line end at its end: \`SLUICE_ADMIN_TOKEN_FILE=/run/secrets/token\`. Setting both a variable and its \`_FILE\` is an error. A key that is a file takes its path without that: \`SLUICE_LISTENER_WEB_TLS_KEY=/run/secrets/key.pem\`.
- The environment beats the file. A variable that is set to nothing sets an empty value.
- A variable of a table that the file does not have adds the table: \`SLUICE_ADMIN_LISTEN=127.0.0.1:9900\` turns the admin server on, \`SLUICE_BACKEND_APP_HEALTH_TYPE=tcp\` the checks of a backend. What else the table needs has to be there as well. No variable turns a table off.
- Listeners and backends are added by variables only when the file has none of that kind, and then get their names in lower case. So a container needs no file (\`SLUICE_CONFIG=/dev/null\`, \`SLUICE_LISTENER_WEB_LISTEN\`, \`SLUICE_LISTENER_WEB_BACKEND\`, \`SLUICE_BACKEND_APP_ENDPOINTS\`), and beside a file a mistyped name is an error instead of a new listener.
- Routes have no names, so no variable sets or adds them.
- An unknown \`SLUICE_\` variable is an error. Exempt are the variables that Kubernetes sets for a Service named \`sluice\` (\`SLUICE_SERVICE_HOST\`, \`SLUICE_PORT=tcp://…\` and the like).
`;

/** What is said after them. */
export const AFTER = `
## What is checked across keys

- There is at least one listener; each names a backend that exists, or has routes that do; names are unique; a backend lists each endpoint once.
- No two listeners, nor a listener and the admin server, share an address. \`0.0.0.0\` covers every IPv4 address of its port, \`[::]\` every address; port 0 never collides. The admin server is on no Unix socket.
- No listener proxies to itself, not by way of others either, as far as addresses show it; names are not resolved.
- \`limits.connections\` times two, plus a reserve, fits into the hard limit of file descriptors. The default is lowered to what fits, with a warning; when not even one connection fits, it is a problem like any other.
- The admin server has a token when its address is not loopback.
- A timeout that is written down can fire: \`connect\` and \`inspect\` are less than \`lifetime\`, \`response\` and \`idle\` are at most \`lifetime\`, \`half_closed\` is at most \`idle\`, \`shutdown.idle\` is less than \`shutdown.drain\`. A default, and a global value that a listener undercuts, may be longer.
- A Unix socket alone has a \`mode\`. Its clients have no addresses: \`allow\`, \`deny\`, \`connections_per_ip\` and \`rate_per_ip\` need \`accept_proxy\` there, and nobody can be \`trusted\`.
- The files of TLS can be read, keys belong to their certificates, and no key has a passphrase. Where the endpoints are verified, a Unix socket needs \`server_name\`.
- A check of type \`exchange\` sends or expects something; no \`interval\`, no \`timeout\` and no \`eject.for\` is \`"0s"\`.
- Warnings: a backend that no listener uses; a route that never decides, because one before it takes all that it would or its conditions exclude each other; a certificate that is past its time; \`accept_proxy\` without \`trusted\` on an address that is not loopback, and \`trusted\` without \`accept_proxy\`; \`on_down = "close"\` without checks; traces that go to a listener of this program; a check over HTTP/1 of endpoints that may agree on \`h2\`; endpoints that all have the weight 0.

## Diagnostics

All problems of the file and the environment are reported at once, one line each: where, which key, what was found, what was wanted.

\`\`\`text
config.toml:14:11 listener.web.backend: unknown backend "ap" (did you mean "app"?)
SLUICE_TIMEOUTS_IDLE timeouts.idle: found "60", wanted a duration with its unit, such as "60s" or "60ms"
SLUICE_ADMIN_TOKEN_FILE (/run/secrets/token) admin.token: cannot read the value: no such file, wanted a readable file
\`\`\`

Values of secrets are never shown, nor is what a file holds where its path belongs.
`;
