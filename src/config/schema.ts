/** The configuration: every table and key with its type, its default and its sentence in the reference. The program's types are derived from it. */
import * as v from "valibot";
import { formatAddress } from "../core/address.ts";
import {
  fixed,
  key,
  optionalTable,
  type Output,
  overrides,
  planned,
  required,
  schemaOf,
  table,
  tables,
} from "./declaration.ts";
import {
  boolean,
  duration,
  endpointAddress,
  fraction,
  integer,
  listenAddress,
  listOf,
  name,
  oneOf,
  secret,
  text,
  textList,
  workers,
} from "./kind.ts";
import { programForm } from "./program-form.ts";

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
    inspect: fixed(key(duration(), "5s", "The client's first bytes, where a route or a PROXY header needs them.")),
  },
);

const tls = {
  cert: required(text("file"), "cert.pem", "The certificate chain, PEM."),
  key: required(text("file"), "key.pem", "The private key, PEM."),
  client_ca: key(text("file"), "", "Clients must show a certificate that this authority signed."),
  alpn: key(textList("list of protocols"), [], "The application protocols offered, the best first."),
};

const route = {
  path_prefix: key(text(), "", "HTTP/1: the path of the first request begins with this."),
  host: key(text(), "", "HTTP/1: the host of the first request; `*.` matches any subdomain."),
  sni: key(text(), "", "TLS: the server name the client asks for; `*.` matches any subdomain."),
  alpn: key(text(), "", "TLS: a protocol the client offers."),
  prefix: key(text(), "", "Any protocol: the first bytes, with `\\x..` escapes."),
  backend: required(text("name of a backend"), "app", "Where matching connections go."),
};

const listener = {
  name: required(name(), "web", "Unique among listeners; used in logs, metrics and variables."),
  listen: required(
    listenAddress(),
    "127.0.0.1:8080",
    "The address to accept connections on. `:80` is every IPv4 address, `[::]:80` IPv6 and IPv4; port 0 takes a free port and logs it.",
  ),
  backend: required(text("name of a backend"), "app", "Where connections go when no route matches."),
  accept_proxy: planned(
    key(oneOf(["off", "required"]), "off", "Expect a PROXY protocol header (v1 or v2) before the client's bytes."),
  ),
  trusted: planned(key(textList("list of CIDRs"), [], "Who may send the PROXY header; empty means any peer.")),
  allow: planned(key(textList("list of CIDRs"), [], "Clients that may connect; empty means all.")),
  deny: planned(key(textList("list of CIDRs"), [], "Clients that may not connect.")),
  connections: planned(
    key(integer(0, CONNECTIONS_MAX), 0, "Connections at once on this listener; 0 is no limit of its own."),
  ),
  connections_per_ip: planned(
    key(integer(0, CONNECTIONS_MAX), 0, "Connections at once from one client address; 0 is no limit."),
  ),
  rate_per_ip: planned(
    key(integer(0, CONNECTIONS_MAX), 0, "New connections a second from one client address; 0 is no limit."),
  ),
  timeouts: overrides("Timeouts of this listener, where they differ from `[timeouts]`.", timeouts),
  tls: planned(optionalTable("Ends TLS here.", tls)),
  route: planned(tables("The first route that matches decides, once per connection.", route)),
};

const endpoint = {
  address: required(endpointAddress(), "127.0.0.1:9000", "Where to connect. A name is resolved when the proxy starts."),
  weight: planned(key(integer(1, 1000), 1, "Its share of connections, relative to the others.")),
  backup: planned(key(boolean(), false, "Used only when no other endpoint is up.")),
  connections: planned(key(integer(0, CONNECTIONS_MAX), 0, "Connections at once; 0 is no limit.")),
};

/** An endpoint's table, already in the program's form. */
const endpointTable = v.pipe(
  schemaOf(endpoint),
  v.transform((value) => programForm(endpoint, value)),
);
/** An endpoint given as its address alone. */
const endpointText = v.pipe(
  endpoint.address.kind.schema,
  v.transform((address): Output<typeof endpoint> => ({ address })),
);
const endpoints = listOf(
  `an address such as "127.0.0.1:9000"`,
  "list of addresses, or of tables (below)",
  endpointText,
  endpointTable,
  (value) => formatAddress(value.address),
);

const backend = {
  name: required(name(), "app", "Unique among backends; used in logs, metrics and variables."),
  endpoints: required(
    endpoints,
    ["127.0.0.1:9000"],
    "Where the backend is reached, at least one, each once.",
    endpoint,
  ),
  balance: key(
    oneOf(["round_robin"], ["least_connections", "random_two", "source_hash", "first"]),
    "round_robin",
    "How an endpoint is chosen.",
  ),
  retries: key(integer(0, 100), 2, "Further endpoints tried when a connect fails; the client never sees it."),
  send_proxy: planned(
    key(
      oneOf(["off", "v1", "v2"]),
      "off",
      "Send a PROXY protocol header, so that the backend learns the client's address.",
    ),
  ),
  resolve: planned(
    key(
      duration(),
      "30s",
      "How often names are resolved again. For now names are resolved once, when the proxy starts.",
    ),
  ),
  on_down: planned(
    key(oneOf(["keep", "close"]), "keep", "What happens to open connections when their endpoint goes down."),
  ),
  tls: planned(
    optionalTable("Speaks TLS to the endpoints.", {
      server_name: key(text(), "", "The name to ask for and to verify; the endpoint's host when empty."),
      ca: key(text("file"), "", "The authorities to trust, PEM; the system's when empty."),
      cert: key(text("file"), "", "The certificate to show, PEM."),
      key: key(text("file"), "", "Its private key, PEM."),
      verify: key(boolean(), true, "Verify the endpoint's certificate."),
    }),
  ),
  health: planned(
    optionalTable("Active checks; absent means none.", {
      type: key(oneOf(["tcp", "http", "exchange"]), "tcp", "What a check does."),
      path: key(text(), "/", "http: what is asked for."),
      status: key(text(), "200-399", "http: the answers that count as healthy."),
      send: key(text(), "", "exchange: what is sent."),
      expect: key(text(), "", "exchange: how the answer begins."),
      interval: key(duration(), "2s", "Time between checks."),
      timeout: key(duration(), "1s", "How long a check may take."),
      rise: key(integer(1, 100), 2, "Good checks in a row before the endpoint is up."),
      fall: key(integer(1, 100), 3, "Bad checks in a row before the endpoint is down."),
    }),
  ),
  eject: planned(
    optionalTable("Passive checks: an endpoint that fails is out of rotation for a while; never the last one.", {
      failures: key(integer(1, 1000), 5, "Failures in a row."),
      for: key(duration(), "10s", "How long; it doubles each time, up to 5m."),
    }),
  ),
};

/** The whole file, table by table in the order of the reference. */
export const declaration = {
  forwarding: table("How bytes are moved.", {
    engine: key(
      oneOf(["auto", "copy", "splice"]),
      "auto",
      "Who moves the bytes: `copy` is the sockets of the runtime, `splice` the kernel (Linux with glibc; the start fails elsewhere); `auto` begins each connection with `copy` and moves it to `splice` when it shows to be bulk or busy.",
    ),
    workers: fixed(key(workers(), 1, "Processes that share the listening sockets.")),
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
    servers: planned(key(textList("list of addresses"), [], "DNS servers; empty means the system's.")),
  }),
  admin: optionalTable("The admin server: health, readiness, status. Absent means none.", {
    listen: required(listenAddress(), "127.0.0.1:9900", "Its address. One that is not loopback needs a token."),
    token: key(secret(), "", "The bearer token to ask for; better as `SLUICE_ADMIN_TOKEN_FILE`. Empty means none."),
    ready_needs_backends: key(boolean(), true, "Not ready while a backend that a listener needs has nothing up."),
  }),
  log: table("What is written to standard output, one line each.", {
    level: key(oneOf(["debug", "info", "warn", "error"]), "info", "The least important level that is written."),
    format: key(oneOf(["auto", "json", "pretty"]), "auto", "`auto` is pretty on a terminal and JSON elsewhere."),
    access: key(boolean(), true, "One record a connection, when it ends."),
  }),
  tracing: planned(
    optionalTable("Traces over OTLP. Absent means off.", {
      otlp: required(text("URL"), "http://127.0.0.1:4318", "Where traces are sent."),
      sample: key(fraction(0, 1), 1, "The share of connections that is traced."),
    }),
  ),
};

/** The valibot schema of the whole file. */
export const fileSchema = schemaOf(declaration);

/** The effective configuration: all defaults applied, durations in milliseconds (0 is off), a listener's timeouts merged with the global ones. */
export type Config = Output<typeof declaration>;
/** The timeouts that hold on a listener. */
export type Timeouts = Config["timeouts"];
