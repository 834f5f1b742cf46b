/* Buffers, sockets on loopback, and the loop that serves small messages before bulk. */
#include "common.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint8_t scratch[SCRATCH_BYTES];
uint8_t bulk[BULK_BYTES];

void die(const char *action) {
  fprintf(stderr, "generator: cannot %s: %s\n", action, strerror(errno));
  exit(1);
}

uint64_t now_ns(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000ull + (uint64_t)at.tv_nsec;
}

void *allocate(size_t count, size_t size) {
  void *memory = calloc(count, size);
  if (memory == NULL) die("allocate memory");
  return memory;
}

struct sockaddr_in loopback(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void close_with_reset(int fd) {
  struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(fd);
}

void watch(int epoll, int operation, int fd, uint32_t events, void *owner) {
  struct epoll_event event = {.events = events, .data.ptr = owner};
  if (epoll_ctl(epoll, operation, fd, &event) < 0) die("watch a socket");
}

void loop_create(struct loop *loop) {
  loop->prompt = epoll_create1(EPOLL_CLOEXEC);
  loop->bulk = epoll_create1(EPOLL_CLOEXEC);
  if (loop->prompt < 0 || loop->bulk < 0) die("create an epoll");
  /* The loop itself stands for "there is bulk". */
  watch(loop->prompt, EPOLL_CTL_ADD, loop->bulk, EPOLLIN, loop);
}

/* Serves small messages; true when bulk waits too. */
static bool serve_prompt(struct loop *loop, int timeout_ms, handler *handle, void *context) {
  struct epoll_event events[EVENTS_MAX];
  bool bulk_waits = false;
  int count = epoll_wait(loop->prompt, events, EVENTS_MAX, timeout_ms);
  for (int i = 0; i < count; i++) {
    if (events[i].data.ptr == loop) bulk_waits = true;
    else handle(context, events[i].data.ptr, events[i].events);
  }
  return bulk_waits;
}

void loop_turn(struct loop *loop, int timeout_ms, handler *handle, void *context) {
  if (!serve_prompt(loop, timeout_ms, handle, context)) return;
  struct epoll_event events[EVENTS_MAX];
  int count = epoll_wait(loop->bulk, events, EVENTS_MAX, 0);
  for (int i = 0; i < count; i++) {
    if (i > 0) serve_prompt(loop, 0, handle, context);
    handle(context, events[i].data.ptr, events[i].events);
  }
}
