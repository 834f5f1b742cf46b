/** The configuration: every table and key with its type, its default and its sentence in the reference. The program's types are derived from it. */
import * as v from "valibot";
import {
  key,
  optionalTable,
  type Output,
  overrides,
  planned,
  required,
  schemaOf,
  startOnly,
  table,
  tables,
} from "./declaration.ts";
import {
  boolean,
  cidrList,
  duration,
  endpointAddress,
  fileMode,
  fraction,
  integer,
  listenAddress,
  listOf,
  name,
  oneOf,
  secret,
  text,
  workers,
} from "./kind.ts";
import { byteText, file, fileList, protocolList, serverList, serverName, statusRanges } from "./list-kinds.ts";
import { programForm } from "./program-form.ts";
import type { TomlValue } from "./toml-text.ts";
import { collectorUrl, headers, serviceName } from "./tracing-kinds.ts";

/** More connections than any machine has descriptors for; a larger number is a typing mistake. */
const CONNECTIONS_MAX = 10_000_000;
/** TCP_KEEPIDLE counts whole seconds, up to this many (Linux, MAX_TCP_KEEPIDLE). */
const KEEPALIVE_MS = { stepMs: 1000, maxMs: 32_767_000 };

const timeouts = table(
  'How long to wait for what. A listener may override any of them in its own `[listener.timeouts]`; `"0s"` turns one off.',
  {
    connect: key(duration(), "5s", "Each attempt to reach an endpoint."),
    response: key(duration(), "0s", "The client has sent bytes and the backend has not sent one byte back."),
    idle: key(duration(), "1h", "No byte moved in either direction."),
    half_closed: key(duration(), "1m", "One side has finished and no byte moved in the other direction."),
    lifetime: key(duration(), "0s", "The whole connection, however busy it is."),
    inspect: key(
      duration(),
      "5s",
      "From accept until the client's first bytes are there, where a PROXY header, TLS or a route needs them. Then the default backend gets what there is; without its header or its handshake a connection ends.",
    ),
  },
);

const listenerTls = {
  cert: required(
    fileList("cert.pem"),
    "cert.pem",
    "The certificate chain, PEM; or a list of them, each for its own names. The first answers clients that ask for none of the names.",
  ),
  key: required(fileList("key.pem"), "key.pem", "The private key, PEM; or a list in the order of `cert`."),
  client_ca: key(
    file("clients.pem"),
    "",
    "The authorities, PEM, that sign the clients' certificates; empty asks for none.",
  ),
  client_cert: key(
    oneOf(["required", "optional"]),
    "required",
    "With `client_ca`: whether a client without a certificate is refused. One that does not verify always is.",
  ),
  alpn: key(protocolList(), [], 'The application protocols offered, the best first, `["h2", "http/1.1"]`.'),
};

const route = {
  path_prefix: key(
    text(),
    "",
    "HTTP/1: the path of the first request begins with this, whole segments: `/api` takes `/api/x` and not `/apiary`.",
  ),
  host: key(text(), "", "HTTP/1: the host of the first request, in any letter case; `*.` matches any subdomain."),
  sni: key(text(), "", "TLS: the server name the client asks for; `*.` matches any subdomain."),
  alpn: key(text(), "", "TLS: a protocol the client offers."),
  prefix: key(text("text with `\\x..` escapes"), "", "Any protocol: the first bytes."),
  backend: required(text("name of a backend"), "app", "Where matching connections go."),
};

const listener = {
  name: required(name(), "web", "Unique among listeners; used in logs, metrics and variables."),
  listen: required(
    listenAddress(),
    "127.0.0.1:8080",
    "The address to accept connections on. `:80` is every IPv4 address, `[::]:80` IPv6 and IPv4; port 0 takes a free port and logs it.",
  ),
  backend: key(
    text("name of a backend"),
    "",
    "Where connections go when no route matches. It may be left out where there are routes: the others then end with `no_route`.",
  ),
  mode: key(fileMode(), "0660", "The permissions of a Unix socket, octal; who may write may connect."),
  accept_proxy: key(
    oneOf(["off", "required"]),
    "off",
    "Expect a PROXY protocol header (v1 or v2) before the client's bytes; who it names is the client from then on.",
  ),
  trusted: key(cidrList(), [], "Who may send the PROXY header; empty means any peer."),
  allow: key(cidrList(), [], "Clients that may connect; empty means all."),
  deny: key(cidrList(), [], "Clients that may not connect, even if allowed."),
  connections: key(
    integer(0, CONNECTIONS_MAX),
    0,
    "Connections at once on this listener; 0 is no limit of its own. `limits.overflow` says what happens to more.",
  ),
  connections_per_ip: key(
    integer(0, CONNECTIONS_MAX),
    0,
    "Connections at once from one client address; 0 is no limit. More are reset.",
  ),
  rate_per_ip: key(
    integer(0, CONNECTIONS_MAX),
    0,
    "New connections a second from one client address, as many at once; 0 is no limit. More are reset.",
  ),
  timeouts: overrides("Timeouts of this listener, where they differ from `[timeouts]`.", timeouts),
  tls: optionalTable(
    "Ends TLS here; backends get the plain bytes. Certificates are read again on a reload.",
    listenerTls,
  ),
  route: tables(
    "The first route that matches decides, once per connection; all conditions of a route are needed. What a client sends later goes the same way.",
    route,
  ),
};

const endpoint = {
  address: required(
    endpointAddress(),
    "127.0.0.1:9000",
    "Where to connect. Each address of a name is an endpoint of its own; `srv:_pg._tcp.example.com` takes ports, priorities and weights from DNS.",
  ),
  weight: key(integer(0, 1000), 1, "Its share of connections, relative to the others; 0 gives it no new ones."),
  backup: key(boolean(), false, "Used only when no other endpoint can be."),
  connections: key(integer(0, CONNECTIONS_MAX), 0, "Connections at once; 0 is no limit. A full one is passed over."),
};

/** An endpoint's table, already in the program's form. */
const endpointTable = v.pipe(
  schemaOf(endpoint),
  v.transform((value) => programForm(endpoint, value)),
);
/** An endpoint given as its address alone. */
const endpointText = v.pipe(
  endpoint.address.kind.schema,
  v.transform((address): Output<typeof endpoint> => ({ address, weight: 1, backup: false, connections: 0 })),
);
const endpoints = listOf(
  `an address such as "127.0.0.1:9000"`,
  "list of addresses, or of tables (below)",
  endpointText,
  endpointTable,
  (value) => endpointToml(value),
);

/** The address alone where that says all. */
function endpointToml({ address, weight, backup, connections }: Output<typeof endpoint>): TomlValue {
  const written = endpoint.address.kind.toToml(address);
  if (weight === 1 && !backup && connections === 0) return written;
  return { address: written, weight, backup, connections };
}

const backend = {
  name: required(name(), "app", "Unique among backends; used in logs, metrics and variables."),
  endpoints: required(
    endpoints,
    ["127.0.0.1:9000"],
    "Where the backend is reached, at least one, each once.",
    endpoint,
  ),
  balance: key(
    oneOf(["round_robin", "least_connections", "random_two", "source_hash", "first"]),
    "round_robin",
    "How an endpoint is chosen: in turn; the one with the fewest connections for its weight; the better of two at random; by the client's address, so that a client stays with its endpoint; the first that can be used.",
  ),
  retries: key(integer(0, 100), 2, "Further endpoints tried when a connect fails; the client never sees it."),
  send_proxy: key(
    oneOf(["off", "v1", "v2"]),
    "off",
    "Send a PROXY protocol header, so that the backend learns the client's address.",
  ),
  resolve: key(
    duration(),
    "30s",
    'How often names are resolved again; the last good answer is kept. `"0s"`: once, at start.',
  ),
  on_down: key(
    oneOf(["keep", "close"]),
    "keep",
    "What happens to open connections when active checks, or an operator, say that their endpoint is down.",
  ),
  tls: optionalTable("Speaks TLS to the endpoints.", {
    server_name: key(serverName(), "", "The name to ask for and to verify; the endpoint's host when empty."),
    ca: key(
      file("ca.pem"),
      "",
      "The authorities to trust, PEM; when empty the public ones, as they are built into the runtime.",
    ),
    cert: key(file("cert.pem"), "", "The certificate to show, PEM."),
    key: key(file("key.pem"), "", "Its private key, PEM."),
    verify: key(boolean(), true, "Verify the endpoint's certificate."),
    alpn: key(protocolList(), [], "The application protocols offered, the best first."),
    proxy_header: key(
      oneOf(["before", "inside"]),
      "before",
      "With `send_proxy`: in front of the TLS handshake, as HAProxy, nginx and Envoy do, or as the first bytes inside.",
    ),
  }),
  health: optionalTable("Active checks; absent means none. Over TLS where the backend is.", {
    type: key(
      oneOf(["tcp", "http", "exchange"]),
      "tcp",
      "What a check does: connect; ask for a page; send bytes and compare the beginning of the answer.",
    ),
    path: key(text(), "/", "http: what is asked for."),
    host: key(text(), "", "http: the Host field; the endpoint's address when empty."),
    status: key(statusRanges(), "200-399", 'http: the answers that count as good, `"200-299,404"`.'),
    send: key(byteText(), "", "exchange: what is sent."),
    expect: key(byteText(), "", "exchange: how the answer begins."),
    interval: key(duration(), "2s", "From one check to the next, give or take a tenth."),
    timeout: key(duration(), "1s", "How long a check may take."),
    rise: key(integer(1, 100), 2, "Good checks in a row before an endpoint that was down is up."),
    fall: key(integer(1, 100), 3, "Bad checks in a row before an endpoint that was up is down."),
  }),
  eject: optionalTable(
    "Passive checks: an endpoint that fails is out of rotation for a while; never the last one. Absent means none.",
    {
      failures: key(integer(1, 1000), 5, "Failed attempts to connect in a row."),
      for: key(duration(), "10s", "How long; it doubles each time, up to 5m."),
    },
  ),
};

/** The whole file, table by table in the order of the reference. */
export const declaration = {
  forwarding: table("How bytes are moved.", {
    engine: startOnly(
      key(
        oneOf(["auto", "copy", "splice"]),
        "auto",
        "Who moves the bytes: `copy` is the sockets of the runtime, `splice` the kernel (Linux with glibc; the start fails elsewhere); `auto` begins each connection with `copy` and moves it to `splice` when it shows to be bulk or busy.",
      ),
    ),
    workers: startOnly(planned(key(workers(), 1, "Processes that share the listening sockets."))),
  }),
  limits: table("What the proxy takes on at once.", {
    connections: key(
      integer(1, CONNECTIONS_MAX),
      10_000,
      "Connections at once. Each needs two file descriptors. A number that does not fit the limit of the process is refused at start; the default is lowered to what fits, with a warning.",
    ),
    overflow: key(
      oneOf(["queue", "reject"]),
      "queue",
      "At the limit: `queue` leaves new connections in the accept queue, `reject` closes them at once.",
    ),
  }),
  shutdown: table("How the proxy ends (SIGTERM, SIGINT).", {
    delay: key(
      duration(),
      "0s",
      "Keep accepting for this long after readiness turned false, until load balancers have noticed.",
    ),
    drain: key(
      duration(),
      "30s",
      'How long open connections may take to end before they are cut; `"0s"` waits for ever.',
    ),
    idle: key(duration(), "0s", 'While draining, close connections silent for this long; `"0s"` leaves them.'),
  }),
  timeouts,
  tcp: table("Options of the sockets on both sides.", {
    no_delay: key(boolean(), true, "Send small writes at once (TCP_NODELAY)."),
    keepalive: key(duration(KEEPALIVE_MS), "30s", 'Probe a silent peer after this long, whole seconds; `"0s"` never.'),
  }),
  listener: tables("An address that accepts connections. At least one is needed.", listener),
  backend: tables("A named set of endpoints.", backend),
  resolver: table("How names are resolved.", {
    servers: key(
      serverList(),
      [],
      'DNS servers, `["127.0.0.1:5353"]`, without a port on 53; empty means the system\'s, and its hosts file.',
    ),
  }),
  admin: optionalTable("The admin server: probes, metrics, status and the dashboard. Absent means none.", {
    listen: startOnly(
      required(listenAddress(), "127.0.0.1:9900", "Its address. One that is not loopback needs a token."),
    ),
    token: key(secret(), "", "The bearer token to ask for; better as `SLUICE_ADMIN_TOKEN_FILE`. Empty means none."),
    ready_needs_backends: key(boolean(), true, "Not ready while a backend that a listener needs has nothing up."),
  }),
  log: table("What is written to standard output, one line each.", {
    level: key(oneOf(["debug", "info", "warn", "error"]), "info", "The least important level that is written."),
    format: startOnly(
      key(oneOf(["auto", "json", "pretty"]), "auto", "`auto` is pretty on a terminal and JSON elsewhere."),
    ),
    access: key(boolean(), true, "One record a connection, when it ends."),
  }),
  tracing: optionalTable("Traces, over OTLP/HTTP: a span for each connection. Absent means off.", {
    otlp: required(
      collectorUrl(),
      "http://127.0.0.1:4318",
      "The base URL of the collector; `/v1/traces` is appended, as OTLP has it.",
    ),
    sample: key(fraction(0, 1), 1, "The share of connections that is traced."),
    service: key(serviceName(), "sluice", "The name of this program in traces (`service.name`)."),
    headers: key(
      headers(),
      {},
      "Sent with each request, such as the key of a hosted collector; better as `SLUICE_TRACING_HEADERS_FILE`.",
    ),
  }),
};

/** The valibot schema of the whole file. */
export const fileSchema = schemaOf(declaration);

/** The effective configuration: all defaults applied, durations in milliseconds (0 is off), a listener's timeouts merged with the global ones. */
export type Config = Output<typeof declaration>;
/** The timeouts that hold on a listener. */
export type Timeouts = Config["timeouts"];
