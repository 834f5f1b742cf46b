/* What flows of every kind have in common: connecting, closing, resting, and messages that can be told apart. */
#include "load.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

void flow_close(struct flow *flow) {
  if (flow->due_ns != 0) flow->part->load->resting--;
  flow->due_ns = 0;
  close(flow->fd);
  flow->fd = -1;
  flow->part->load->open--;
}

void flow_failed(struct flow *flow, const char *action) {
  failed(&flow->part->tally, "%s: %s: %s", flow->part->kind->name, action, strerror(errno));
  flow_close(flow);
}

bool flow_open(struct flow *flow) {
  struct load *load = flow->part->load;
  flow->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (flow->fd < 0) die("open a socket");
  load->open++;
  struct timeval limit = {.tv_sec = GRACE_MS / 1000};
  setsockopt(flow->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  setsockopt(flow->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  no_delay(flow->fd);
  struct sockaddr_in address = loopback(load->port);
  if (connect(flow->fd, (struct sockaddr *)&address, sizeof address) == 0) return true;
  flow_failed(flow, "connect");
  return false;
}

static int epoll_of(struct flow *flow) {
  struct loop *loop = &flow->part->load->loop;
  return flow->part->kind->is_bulk ? loop->bulk : loop->prompt;
}

void flow_watch(struct flow *flow, uint32_t events) {
  fcntl(flow->fd, F_SETFL, O_NONBLOCK);
  watch(epoll_of(flow), EPOLL_CTL_ADD, flow->fd, events, flow);
}

void flow_watch_again(struct flow *flow, uint32_t events) {
  watch(epoll_of(flow), EPOLL_CTL_MOD, flow->fd, events, flow);
}

void flow_rest(struct flow *flow) {
  struct load *load = flow->part->load;
  uint64_t pause_ns = flow->part->pause_ns;
  /* Half to one and a half times the pause. */
  flow->due_ns = now_ns() + pause_ns / 2 + (uint64_t)((double)pause_ns * (double)random() / (double)RAND_MAX);
  load->resting++;
  if (flow->due_ns < load->first_due_ns) load->first_due_ns = flow->due_ns;
}

void message_create(struct flow *flow, uint8_t mode, size_t bytes) {
  flow->message = allocate(bytes, 1);
  for (size_t i = 0; i < bytes; i++) flow->message[i] = (uint8_t)(i * 31 + 7);
  flow->message[0] = mode;
}

void message_stamp(struct flow *flow, uint64_t serial, size_t bytes) {
  uint64_t who = (uint64_t)(uintptr_t)flow * 0x9e3779b97f4a7c15ull + serial;
  size_t room = bytes - 1;
  memcpy(flow->message + 1, &who, room < sizeof who ? room : sizeof who);
}
