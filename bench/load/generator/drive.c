/* Runs a load: reads its parts, opens their flows, serves events until the time is over, and reports. */
#include "load.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct kind *kind_find(const char *name, size_t length) {
  for (size_t i = 0; i < sizeof chat_kinds / sizeof chat_kinds[0] + sizeof bulk_kinds / sizeof bulk_kinds[0]; i++) {
    size_t chats = sizeof chat_kinds / sizeof chat_kinds[0];
    const struct kind *kind = i < chats ? &chat_kinds[i] : &bulk_kinds[i - chats];
    if (strlen(kind->name) == length && strncmp(kind->name, name, length) == 0) return kind;
  }
  return NULL;
}

/* KIND:CONNECTIONS:BYTES:PAUSE_MS; false when it is something else. */
static bool part_read(struct part *part, const char *text) {
  size_t length = strcspn(text, ":");
  unsigned long long connections = 0, bytes = 0, pause_ms = 0;
  part->kind = kind_find(text, length);
  if (part->kind == NULL || sscanf(text + length, ":%llu:%llu:%llu", &connections, &bytes, &pause_ms) < 1) return false;
  part->connections = (size_t)connections;
  part->bytes = (size_t)bytes;
  part->pause_ns = pause_ms * 1000000ull;
  if (bytes == 0 && strcmp(part->kind->name, "ping-pong") == 0) part->bytes = EXCHANGE_BYTES;
  /* A bulk flow that has a size is followed by the next one. */
  part->repeats = part->kind->repeats || (part->kind->is_bulk && bytes > 0);
  part->flows = allocate(part->connections, sizeof *part->flows);
  for (size_t i = 0; i < part->connections; i++) part->flows[i] = (struct flow){.fd = -1, .part = part};
  return true;
}

/* Opens the next connection of a flow whose last one has closed, unless it is over. */
static void flow_follow(struct flow *flow) {
  while (flow->fd < 0 && flow->part->repeats && errors_of_all < ERRORS_MAX && now_ns() < window_end_ns) {
    if (flow->part->pause_ns > 0) return flow_rest(flow);
    flow->part->kind->open(flow);
  }
}

static void load_event(void *context, void *owner, uint32_t events) {
  (void)context;
  struct flow *flow = owner;
  if (flow->fd < 0) return;
  flow->part->kind->event(flow, events);
  flow_follow(flow);
}

/* Wakes the flows that have rested enough. */
static void wake_resting(struct load *load, uint64_t at_ns) {
  if (at_ns < load->first_due_ns) return;
  load->first_due_ns = UINT64_MAX;
  for (size_t p = 0; p < load->count; p++) {
    struct part *part = &load->parts[p];
    for (size_t i = 0; part->pause_ns > 0 && i < part->connections; i++) {
      struct flow *flow = &part->flows[i];
      if (flow->due_ns == 0) continue;
      if (flow->due_ns > at_ns) {
        if (flow->due_ns < load->first_due_ns) load->first_due_ns = flow->due_ns;
        continue;
      }
      flow->due_ns = 0;
      load->resting--;
      if (flow->fd < 0) part->kind->open(flow);
      else part->kind->go_on(flow);
      flow_follow(flow);
    }
  }
}

/* Serves events until `until_ns` or until no flow has anything to do. */
static void run_until(struct load *load, uint64_t until_ns) {
  while (load->open + load->resting > 0 && errors_of_all < ERRORS_MAX) {
    uint64_t at_ns = now_ns();
    if (at_ns >= until_ns) return;
    wake_resting(load, at_ns);
    uint64_t next_ns = load->first_due_ns < until_ns ? load->first_due_ns : until_ns;
    loop_turn(&load->loop, next_ns <= at_ns ? 0 : (int)((next_ns - at_ns) / 1000000) + 1, load_event, load);
  }
}

/* The time is over: what rests is done, what is under way comes to its end. */
static void finish_all(struct load *load) {
  for (size_t p = 0; p < load->count; p++) {
    const struct kind *kind = load->parts[p].kind;
    for (size_t i = 0; i < load->parts[p].connections; i++) {
      struct flow *flow = &load->parts[p].flows[i];
      bool rested = flow->due_ns != 0;
      if (rested) load->resting--;
      flow->due_ns = 0;
      if (flow->fd < 0) continue;
      if (kind->finish == NULL && rested) flow_close(flow);
      else if (kind->finish != NULL && !flow->finishing) kind->finish(flow);
    }
  }
}

static void report_all(struct load *load) {
  for (size_t p = 0; p < load->count; p++) {
    putchar(p == 0 ? '[' : ',');
    report(&load->parts[p].tally);
  }
  printf("]\n");
}

bool drive(int port, double seconds, char **texts, size_t count) {
  struct load load = {.port = port, .parts = allocate(count, sizeof(struct part)), .count = count};
  load.discard_bytes = DISCARD_BYTES;
  for (size_t p = 0; p < count; p++) {
    load.parts[p].load = &load;
    if (!part_read(&load.parts[p], texts[p])) return false;
    if (!load.parts[p].kind->is_bulk) load.discard_bytes = DISCARD_SHORT_BYTES;
  }
  loop_create(&load.loop);
  load.first_due_ns = UINT64_MAX;
  window_open(seconds);
  for (size_t p = 0; p < count; p++) {
    for (size_t i = 0; i < load.parts[p].connections; i++) {
      load.parts[p].kind->open(&load.parts[p].flows[i]);
      flow_follow(&load.parts[p].flows[i]);
    }
  }
  run_until(&load, window_end_ns);
  finish_all(&load);
  run_until(&load, now_ns() + GRACE_MS * 1000000ull);
  for (size_t p = 0; p < count; p++) {
    for (size_t i = 0; i < load.parts[p].connections; i++) {
      if (load.parts[p].flows[i].fd < 0) continue;
      failed(&load.parts[p].tally, "%s: no answer within %d ms after the end", load.parts[p].kind->name, GRACE_MS);
    }
  }
  report_all(&load);
  return true;
}

/* One connection with one exchange; then it is silent. */
static void hold_open(struct flow *flow, uint64_t serial) {
  if (!flow_open(flow)) return;
  message_create(flow, 'E', EXCHANGE_BYTES);
  message_stamp(flow, serial, EXCHANGE_BYTES);
  if (send(flow->fd, flow->message, EXCHANGE_BYTES, MSG_NOSIGNAL) != EXCHANGE_BYTES) {
    flow_failed(flow, "send");
  } else if (recv(flow->fd, scratch, EXCHANGE_BYTES, MSG_WAITALL) != EXCHANGE_BYTES) {
    flow_failed(flow, "receive");
  } else if (memcmp(scratch, flow->message, EXCHANGE_BYTES) != 0) {
    failed(&flow->part->tally, "hold: the echo differs from what was sent");
    flow_close(flow);
  }
}

void hold(int port, size_t connections) {
  static const struct kind held = {.name = "hold"};
  struct part part = {.kind = &held, .connections = connections};
  struct load load = {.port = port, .parts = &part, .count = 1, .first_due_ns = UINT64_MAX};
  part.load = &load;
  part.flows = allocate(connections, sizeof *part.flows);
  for (size_t i = 0; i < connections; i++) {
    part.flows[i] = (struct flow){.fd = -1, .part = &part};
    if (errors_of_all < ERRORS_MAX) hold_open(&part.flows[i], i);
  }
  printf("{\"ready\":%zu}\n", load.open);
  fflush(stdout);
  while (read(STDIN_FILENO, scratch, SCRATCH_BYTES) > 0) continue;
  for (size_t i = 0; i < connections; i++) {
    if (part.flows[i].fd < 0) continue;
    struct pollfd seen = {.fd = part.flows[i].fd, .events = POLLIN};
    if (poll(&seen, 1, 0) > 0) failed(&part.tally, "hold: an idle connection did not stay open");
    moved(&part.tally, 0, 1, 0);
  }
  report_all(&load);
}
