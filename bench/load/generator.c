/*
 * The load generator and the backend of `bun run bench:load`: one small epoll program, so that neither is the limit.
 *
 *   generator serve PORT                                     the backend; PORT 0 takes a free one; prints {"port":N}
 *   generator drive LOAD PORT CONNECTIONS SIZE SECONDS       a load; prints one JSON line when it is over (SIZE: ping-pong only)
 *   generator hold PORT CONNECTIONS                          idle connections; prints {"ready":N}, holds until its standard input ends
 *
 * The first byte a client sends says what the backend does with that connection, so one backend serves every load:
 *   'E' echo       every byte goes back (ping-pong, hold)
 *   'C' connect    64 B are taken, the same 64 B go back, and the backend closes
 *   'D' down       the backend sends until an 'S' arrives, then how many bytes it has sent (8 B), and closes
 *   'U' up         the backend discards until the client has finished, then sends how many bytes came (8 B), and closes
 *
 * Bulk bytes are checked by count on the far side, ping-pong and connect by content. Bulk receivers let the kernel
 * discard (MSG_TRUNC), since copying into the generator would measure the generator.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  EXCHANGE_BYTES = 64,         /* the request and the answer of `connect` and `hold` */
  BULK_BYTES = 256 * 1024,     /* one send of a bulk flow: fits the second-level cache */
  DISCARD_BYTES = 4 << 20,     /* one discarding receive */
  SCRATCH_BYTES = 64 * 1024,   /* one copying receive */
  EVENTS_MAX = 256,            /* events taken by one epoll_wait */
  ERRORS_MAX = 1000,           /* a load gives up here, since it would only measure failures */
  GRACE_MS = 5000,             /* for answers still missing when the time is over; then they are errors */
};
static const double LEAD_SECONDS = 0.1; /* windows and buffers fill: counted for CPU, not for the rate */

static uint8_t scratch[SCRATCH_BYTES];
static uint8_t bulk[BULK_BYTES];

static void die(const char *action) {
  fprintf(stderr, "generator: cannot %s: %s\n", action, strerror(errno));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000ull + (uint64_t)at.tv_nsec;
}

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count, size);
  if (memory == NULL) die("allocate memory");
  return memory;
}

static struct sockaddr_in loopback(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static void no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void watch(int epoll, int operation, int fd, uint32_t events, void *owner) {
  struct epoll_event event = {.events = events, .data.ptr = owner};
  if (epoll_ctl(epoll, operation, fd, &event) < 0) die("watch a socket");
}

/* ---- the backend ---- */

struct client {
  int fd;
  uint8_t mode;      /* first byte seen; 0 before it */
  uint8_t *queue;    /* bytes of an echo or a count that the socket did not take yet */
  size_t queued, queue_sent;
  bool last;         /* close as soon as the queue is empty */
  uint64_t counted;  /* bytes sent ('D') or received ('U') */
  uint8_t request[EXCHANGE_BYTES];
  size_t request_bytes;
};

static void client_close(struct client *client) {
  close(client->fd);
  free(client->queue);
  free(client);
}

/* Sends what is queued; false when the client is gone (and freed). */
static bool client_flush(int epoll, struct client *client) {
  ssize_t sent = send(client->fd, client->queue + client->queue_sent, client->queued - client->queue_sent, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return client_close(client), false;
  if (sent > 0) client->queue_sent += (size_t)sent;
  if (client->queue_sent < client->queued) return watch(epoll, EPOLL_CTL_MOD, client->fd, EPOLLOUT, client), true;
  free(client->queue);
  client->queue = NULL;
  if (client->last) return client_close(client), false;
  return watch(epoll, EPOLL_CTL_MOD, client->fd, EPOLLIN, client), true;
}

static void client_send(int epoll, struct client *client, const void *bytes, size_t count) {
  ssize_t sent = send(client->fd, bytes, count, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return client_close(client);
  if (sent < 0) sent = 0;
  if ((size_t)sent == count) {
    if (client->last) client_close(client);
    return;
  }
  client->queued = count - (size_t)sent;
  client->queue_sent = 0;
  client->queue = allocate(client->queued, 1);
  memcpy(client->queue, (const uint8_t *)bytes + sent, client->queued);
  watch(epoll, EPOLL_CTL_MOD, client->fd, EPOLLOUT, client);
}

static void client_count(int epoll, struct client *client) {
  client->last = true;
  client_send(epoll, client, &client->counted, sizeof client->counted);
}

static void client_readable(int epoll, struct client *client) {
  if (client->mode == 'U') {
    ssize_t count = recv(client->fd, NULL, DISCARD_BYTES, MSG_TRUNC);
    if (count > 0) client->counted += (uint64_t)count;
    else if (count == 0) client_count(epoll, client);
    else if (errno != EAGAIN) client_close(client);
    return;
  }
  ssize_t count = recv(client->fd, scratch, SCRATCH_BYTES, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) return client_close(client);
  if (client->mode == 0) {
    client->mode = scratch[0];
    if (client->mode == 'D') watch(epoll, EPOLL_CTL_MOD, client->fd, EPOLLIN | EPOLLOUT, client);
  }
  switch (client->mode) {
    case 'E': return client_send(epoll, client, scratch, (size_t)count);
    case 'U': client->counted += (uint64_t)count; return;
    case 'D':
      if (memchr(scratch, 'S', (size_t)count) != NULL) client_count(epoll, client);
      return;
    case 'C': {
      size_t room = EXCHANGE_BYTES - client->request_bytes;
      size_t taken = (size_t)count < room ? (size_t)count : room;
      memcpy(client->request + client->request_bytes, scratch, taken);
      client->request_bytes += taken;
      if (client->request_bytes < EXCHANGE_BYTES) return;
      client->last = true;
      return client_send(epoll, client, client->request, EXCHANGE_BYTES);
    }
    default: return client_close(client);
  }
}

static void client_event(int epoll, struct client *client, uint32_t events) {
  if (client->queue != NULL) {
    client_flush(epoll, client);
    return;
  }
  if (events & EPOLLIN) return client_readable(epoll, client);
  if (events & (EPOLLERR | EPOLLHUP)) return client_close(client);
  ssize_t sent = send(client->fd, bulk, BULK_BYTES, MSG_NOSIGNAL);
  if (sent > 0) client->counted += (uint64_t)sent;
  else if (sent < 0 && errno != EAGAIN) client_close(client);
}

static void serve(int port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  no_delay(listener); /* inherited by every accepted socket */
  struct sockaddr_in address = loopback(port);
  socklen_t size = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0) die("listen");
  getsockname(listener, (struct sockaddr *)&address, &size);
  printf("{\"port\":%d}\n", ntohs(address.sin_port));
  fflush(stdout);

  int epoll = epoll_create1(EPOLL_CLOEXEC);
  watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
  struct epoll_event events[EVENTS_MAX];
  for (;;) {
    int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr != NULL) {
        client_event(epoll, events[i].data.ptr, events[i].events);
        continue;
      }
      for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct client *client = allocate(1, sizeof *client);
        client->fd = fd;
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, client);
      }
      /* Out of descriptors the queue would be reported for ever; the run is void, so it ends. */
      if (errno == EMFILE || errno == ENFILE) die("accept");
    }
  }
}

/* ---- what a load counts ---- */

static uint64_t total_bytes, total_operations;       /* from the first byte to the last: what CPU is divided by */
static uint64_t measured_bytes, measured_operations; /* inside the window: what the rate comes from */
static uint64_t window_start_ns, window_end_ns;
static uint64_t errors;
static char first_error[160];

static void failed(const char *format, ...) {
  if (errors++ > 0) return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(first_error, sizeof first_error, format, arguments);
  va_end(arguments);
}

static void moved(uint64_t bytes, uint64_t operations, uint64_t at_ns) {
  total_bytes += bytes;
  total_operations += operations;
  if (at_ns < window_start_ns || at_ns >= window_end_ns) return;
  measured_bytes += bytes;
  measured_operations += operations;
}

/* Latencies in buckets: 32 steps for each power of two, so a figure is at most 3 % too low. */
static uint32_t latency_buckets[64 * 64];

static void latency(uint64_t ns) {
  unsigned power = ns < 64 ? 0 : 58 - (unsigned)__builtin_clzll(ns); /* ns >> power is in 32..63, or ns itself */
  latency_buckets[power * 64 + (ns >> power)]++;
}

static double latency_us(double share) {
  uint64_t all = 0, seen = 0;
  for (unsigned i = 0; i < 64 * 64; i++) all += latency_buckets[i];
  for (unsigned i = 0; i < 64 * 64; i++) {
    seen += latency_buckets[i];
    if (all > 0 && (double)seen >= share * (double)all) return (double)((uint64_t)(i % 64) << (i / 64)) / 1000.0;
  }
  return 0;
}

static void report(void) {
  for (char *c = first_error; *c != 0; c++) {
    if (*c == '"' || *c == '\\' || *c < ' ') *c = '\'';
  }
  printf("{\"bytes\":%llu,\"operations\":%llu,\"measuredBytes\":%llu,\"measuredOperations\":%llu,\"seconds\":%.6f,",
         (unsigned long long)total_bytes, (unsigned long long)total_operations, (unsigned long long)measured_bytes,
         (unsigned long long)measured_operations, (double)(window_end_ns - window_start_ns) / 1e9);
  printf("\"p50Us\":%.1f,\"p99Us\":%.1f,\"p999Us\":%.1f,\"errors\":%llu,\"firstError\":\"%s\"}\n", latency_us(0.5),
         latency_us(0.99), latency_us(0.999), (unsigned long long)errors, first_error);
}

/* ---- the loads ---- */

struct flow {
  int fd;               /* -1 once closed */
  uint8_t *message;     /* what was sent, and must come back */
  size_t sent, received;
  uint64_t started_ns;
  uint64_t counted;     /* bulk bytes, to be compared with the far side's count */
  uint8_t tail[8];      /* the last bytes that came: the far side's count */
  bool finishing;       /* bulk: the time is over, the count is awaited */
};

struct load {
  int epoll, port;
  size_t connections, size;
  struct flow *flows;
  size_t open;          /* flows that are not closed */
};

static void flow_close(struct load *load, struct flow *flow) {
  close(flow->fd);
  flow->fd = -1;
  load->open--;
}

static void flow_failed(struct load *load, struct flow *flow, const char *action) {
  failed("%s: %s", action, strerror(errno));
  flow_close(load, flow);
}

/* A connection made blocking, with a limit, since setting up is not what these loads measure. */
static bool flow_open(struct load *load, struct flow *flow) {
  flow->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (flow->fd < 0) die("open a socket");
  load->open++;
  struct timeval limit = {.tv_sec = GRACE_MS / 1000};
  setsockopt(flow->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  setsockopt(flow->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  no_delay(flow->fd);
  struct sockaddr_in address = loopback(load->port);
  if (connect(flow->fd, (struct sockaddr *)&address, sizeof address) == 0) return true;
  flow_failed(load, flow, "connect");
  return false;
}

static void flow_watch(struct load *load, struct flow *flow, uint32_t events) {
  fcntl(flow->fd, F_SETFL, O_NONBLOCK);
  watch(load->epoll, EPOLL_CTL_ADD, flow->fd, events, flow);
}

/* A message nobody else sends: the mode, then who and which, then a pattern. */
static void message_stamp(struct load *load, struct flow *flow, uint64_t serial) {
  uint64_t who = (uint64_t)(flow - load->flows) * 0x9e3779b97f4a7c15ull + serial;
  size_t room = load->size - 1;
  memcpy(flow->message + 1, &who, room < sizeof who ? room : sizeof who);
}

static void message_create(struct load *load, struct flow *flow, uint8_t mode) {
  flow->message = allocate(load->size, 1);
  for (size_t i = 0; i < load->size; i++) flow->message[i] = (uint8_t)(i * 31 + 7);
  flow->message[0] = mode;
}

/* -- ping-pong: a message, its echo, the next one -- */

static void ping_send(struct load *load, struct flow *flow) {
  ssize_t sent = send(flow->fd, flow->message + flow->sent, load->size - flow->sent, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return flow_failed(load, flow, "send");
  bool was_waiting = flow->sent > 0;
  if (sent > 0) flow->sent += (size_t)sent;
  if (flow->sent < load->size) watch(load->epoll, EPOLL_CTL_MOD, flow->fd, EPOLLIN | EPOLLOUT, flow);
  else if (was_waiting) watch(load->epoll, EPOLL_CTL_MOD, flow->fd, EPOLLIN, flow);
}

static void ping_start(struct load *load, struct flow *flow, uint64_t at_ns) {
  message_stamp(load, flow, at_ns);
  flow->sent = flow->received = 0;
  flow->started_ns = at_ns;
  ping_send(load, flow);
}

static void ping_open(struct load *load, struct flow *flow) {
  if (!flow_open(load, flow)) return;
  message_create(load, flow, 'E');
  flow_watch(load, flow, EPOLLIN);
  ping_start(load, flow, now_ns());
}

static void ping_event(struct load *load, struct flow *flow, uint32_t events) {
  if (events & EPOLLOUT) ping_send(load, flow);
  if (flow->fd < 0 || !(events & (EPOLLIN | EPOLLERR | EPOLLHUP))) return;
  size_t wanted = load->size - flow->received;
  ssize_t count = recv(flow->fd, scratch, wanted < SCRATCH_BYTES ? wanted : SCRATCH_BYTES, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count < 0) return flow_failed(load, flow, "receive");
  if (count == 0) {
    failed("ping-pong: closed by the other side");
    return flow_close(load, flow);
  }
  if (memcmp(scratch, flow->message + flow->received, (size_t)count) != 0) {
    failed("ping-pong: the echo differs from what was sent");
    return flow_close(load, flow);
  }
  flow->received += (size_t)count;
  if (flow->received < load->size) return;
  uint64_t at_ns = now_ns();
  moved(load->size, 1, at_ns);
  if (at_ns >= window_start_ns) latency(at_ns - flow->started_ns);
  if (at_ns >= window_end_ns) return flow_close(load, flow);
  ping_start(load, flow, at_ns);
}

/* -- connect: connect, 64 B there, 64 B back, the backend closes; then the next one -- */

static void connect_open(struct load *load, struct flow *flow);

static void connect_send(struct load *load, struct flow *flow, bool watched) {
  ssize_t sent = send(flow->fd, flow->message + flow->sent, load->size - flow->sent, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return flow_failed(load, flow, "connect and send");
  if (sent > 0) flow->sent += (size_t)sent;
  uint32_t events = flow->sent < load->size ? EPOLLOUT : EPOLLIN | EPOLLRDHUP;
  watch(load->epoll, watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, flow->fd, events, flow);
}

static void connect_open(struct load *load, struct flow *flow) {
  if (flow->message == NULL) message_create(load, flow, 'C');
  flow->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (flow->fd < 0) die("open a socket");
  load->open++;
  flow->sent = flow->received = 0;
  flow->started_ns = now_ns();
  message_stamp(load, flow, flow->started_ns);
  struct sockaddr_in address = loopback(load->port);
  if (connect(flow->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
    return flow_failed(load, flow, "connect");
  }
  /* On loopback the handshake is over by now, so the request goes out without waiting for an event. */
  connect_send(load, flow, false);
}

static void connect_closed(struct load *load, struct flow *flow) {
  uint64_t at_ns = now_ns();
  if (flow->received == load->size) {
    moved(load->size, 1, at_ns);
    if (at_ns >= window_start_ns) latency(at_ns - flow->started_ns);
  } else {
    failed("connect: closed after %zu of %zu bytes", flow->received, load->size);
  }
  flow_close(load, flow);
}

static void connect_receive(struct load *load, struct flow *flow, uint32_t events) {
  ssize_t count = recv(flow->fd, scratch, SCRATCH_BYTES, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count < 0) return flow_failed(load, flow, "receive");
  if (count == 0) return connect_closed(load, flow);
  size_t wanted = load->size - flow->received;
  if ((size_t)count > wanted || memcmp(scratch, flow->message + flow->received, (size_t)count) != 0) {
    failed("connect: the answer differs from what was sent");
    return flow_close(load, flow);
  }
  flow->received += (size_t)count;
  /* The FIN was there before the receive and the receive took all: no second call is needed to see it. */
  if ((events & EPOLLRDHUP) && !(events & EPOLLERR)) connect_closed(load, flow);
}

static void connect_event(struct load *load, struct flow *flow, uint32_t events) {
  if (flow->sent < load->size) connect_send(load, flow, true);
  else connect_receive(load, flow, events);
  if (flow->fd < 0 && errors < ERRORS_MAX && now_ns() < window_end_ns) connect_open(load, flow);
}

/* -- bulk: one direction as fast as it goes; at the end the far side's count must equal ours -- */

static void tail_keep(struct flow *flow, const uint8_t *bytes, size_t count) {
  if (count >= 8) {
    memcpy(flow->tail, bytes + count - 8, 8);
    return;
  }
  memmove(flow->tail, flow->tail + count, 8 - count);
  memcpy(flow->tail + 8 - count, bytes, count);
}

static void bulk_counted(struct load *load, struct flow *flow) {
  uint64_t theirs;
  memcpy(&theirs, flow->tail, sizeof theirs);
  if (flow->counted != theirs) {
    failed("bulk: %llu bytes here, %llu on the far side", (unsigned long long)flow->counted, (unsigned long long)theirs);
  }
  flow_close(load, flow);
}

static void down_open(struct load *load, struct flow *flow) {
  if (!flow_open(load, flow)) return;
  if (send(flow->fd, "D", 1, MSG_NOSIGNAL) != 1) return flow_failed(load, flow, "send");
  flow_watch(load, flow, EPOLLIN);
}

static void down_event(struct load *load, struct flow *flow, uint32_t events) {
  (void)events;
  ssize_t count = flow->finishing ? recv(flow->fd, scratch, SCRATCH_BYTES, 0) : recv(flow->fd, NULL, DISCARD_BYTES, MSG_TRUNC);
  if (count < 0 && errno == EAGAIN) return;
  if (count < 0) return flow_failed(load, flow, "receive");
  if (count == 0 && flow->finishing) {
    flow->counted -= 8; /* the count itself */
    return bulk_counted(load, flow);
  }
  if (count == 0) {
    failed("bulk down: closed by the other side");
    return flow_close(load, flow);
  }
  flow->counted += (uint64_t)count;
  moved((uint64_t)count, 0, now_ns());
  if (flow->finishing) tail_keep(flow, scratch, (size_t)count);
}

static void down_finish(struct load *load, struct flow *flow) {
  flow->finishing = true;
  if (send(flow->fd, "S", 1, MSG_NOSIGNAL) != 1) flow_failed(load, flow, "send");
}

static void up_open(struct load *load, struct flow *flow) {
  if (flow_open(load, flow)) flow_watch(load, flow, EPOLLOUT);
}

static void up_event(struct load *load, struct flow *flow, uint32_t events) {
  if (flow->finishing) {
    ssize_t count = recv(flow->fd, scratch, SCRATCH_BYTES, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0) return flow_failed(load, flow, "receive");
    if (count == 0) return bulk_counted(load, flow);
    return tail_keep(flow, scratch, (size_t)count);
  }
  if (events & (EPOLLERR | EPOLLHUP)) {
    failed("bulk up: closed by the other side");
    return flow_close(load, flow);
  }
  ssize_t sent = send(flow->fd, bulk, BULK_BYTES, MSG_NOSIGNAL);
  if (sent < 0 && errno == EAGAIN) return;
  if (sent < 0) return flow_failed(load, flow, "send");
  flow->counted += (uint64_t)sent;
  moved((uint64_t)sent, 0, now_ns());
}

static void up_finish(struct load *load, struct flow *flow) {
  flow->finishing = true;
  shutdown(flow->fd, SHUT_WR);
  watch(load->epoll, EPOLL_CTL_MOD, flow->fd, EPOLLIN, flow);
}

/* The loads, by name. `finish` is called once for every open flow when the time is over; NULL = it ends by itself. */
static const struct kind {
  const char *name;
  void (*open)(struct load *, struct flow *);
  void (*event)(struct load *, struct flow *, uint32_t);
  void (*finish)(struct load *, struct flow *);
} kinds[] = {
  {"ping-pong", ping_open, ping_event, NULL},
  {"connect", connect_open, connect_event, NULL},
  {"bulk-down", down_open, down_event, down_finish},
  {"bulk-up", up_open, up_event, up_finish},
};

/* Handles events until `until_ns` or until no flow is open. */
static void run_until(const struct kind *kind, struct load *load, uint64_t until_ns) {
  struct epoll_event events[EVENTS_MAX];
  while (load->open > 0 && errors < ERRORS_MAX) {
    uint64_t at_ns = now_ns();
    if (at_ns >= until_ns) return;
    int count = epoll_wait(load->epoll, events, EVENTS_MAX, (int)((until_ns - at_ns) / 1000000) + 1);
    for (int i = 0; i < count; i++) {
      struct flow *flow = events[i].data.ptr;
      if (flow->fd >= 0) kind->event(load, flow, events[i].events);
    }
  }
}

static void drive(const struct kind *kind, struct load *load, double seconds) {
  load->epoll = epoll_create1(EPOLL_CLOEXEC);
  load->flows = allocate(load->connections, sizeof *load->flows);
  window_start_ns = now_ns() + (uint64_t)(LEAD_SECONDS * 1e9);
  window_end_ns = window_start_ns + (uint64_t)(seconds * 1e9);
  for (size_t i = 0; i < load->connections; i++) kind->open(load, &load->flows[i]);
  run_until(kind, load, window_end_ns);
  for (size_t i = 0; kind->finish != NULL && i < load->connections; i++) {
    if (load->flows[i].fd >= 0) kind->finish(load, &load->flows[i]);
  }
  run_until(kind, load, now_ns() + GRACE_MS * 1000000ull);
  for (size_t i = 0; i < load->open; i++) failed("no answer within %d ms after the end", GRACE_MS);
  report();
}

/* ---- idle connections ---- */

/* Opens them one after the other, each proven end to end by one echo; then holds until standard input ends. */
static void hold(struct load *load) {
  load->flows = allocate(load->connections, sizeof *load->flows);
  for (size_t i = 0; i < load->connections && errors < ERRORS_MAX; i++) {
    struct flow *flow = &load->flows[i];
    flow->fd = -1;
    if (!flow_open(load, flow)) continue;
    message_create(load, flow, 'E');
    message_stamp(load, flow, i);
    if (send(flow->fd, flow->message, load->size, MSG_NOSIGNAL) != (ssize_t)load->size) {
      flow_failed(load, flow, "send");
    } else if (recv(flow->fd, scratch, load->size, MSG_WAITALL) != (ssize_t)load->size) {
      flow_failed(load, flow, "receive");
    } else if (memcmp(scratch, flow->message, load->size) != 0) {
      failed("hold: the echo differs from what was sent");
      flow_close(load, flow);
    }
  }
  printf("{\"ready\":%zu}\n", load->open);
  fflush(stdout);
  while (read(STDIN_FILENO, scratch, SCRATCH_BYTES) > 0) continue;
  for (size_t i = 0; i < load->connections; i++) {
    struct flow *flow = &load->flows[i];
    if (flow->fd < 0) continue;
    struct pollfd seen = {.fd = flow->fd, .events = POLLIN};
    if (poll(&seen, 1, 0) > 0) failed("hold: an idle connection did not stay open");
    moved(0, 1, 0);
  }
  report();
}

int main(int count, char **arguments) {
  /* The benchmark may be killed; what it started must not stay behind. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  memset(bulk, 'U', sizeof bulk);

  if (count == 3 && strcmp(arguments[1], "serve") == 0) {
    serve(atoi(arguments[2]));
    return 0;
  }
  if (count == 4 && strcmp(arguments[1], "hold") == 0) {
    struct load load = {.port = atoi(arguments[2]), .connections = (size_t)atoi(arguments[3]), .size = EXCHANGE_BYTES};
    hold(&load);
    return 0;
  }
  if (count == 7 && strcmp(arguments[1], "drive") == 0) {
    struct load load = {
      .port = atoi(arguments[3]), .connections = (size_t)atoi(arguments[4]), .size = (size_t)atoi(arguments[5])};
    if (load.size == 0 || strcmp(arguments[2], "connect") == 0) load.size = EXCHANGE_BYTES;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
      if (strcmp(arguments[2], kinds[i].name) != 0) continue;
      drive(&kinds[i], &load, atof(arguments[6]));
      return 0;
    }
  }
  fprintf(stderr, "usage: generator serve PORT | drive LOAD PORT CONNECTIONS SIZE SECONDS | hold PORT CONNECTIONS\n");
  return 2;
}
