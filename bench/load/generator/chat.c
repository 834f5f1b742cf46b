/* Small messages, checked by content and timed: `ping-pong` and `connect`. */
#include "load.h"
#include <string.h>
#include <sys/socket.h>

/* -- ping-pong: a message, its echo, the next one -- */

static void ping_send(struct flow *flow) {
  size_t bytes = flow->part->bytes;
  ssize_t sent = send(flow->fd, flow->message + flow->sent, bytes - flow->sent, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return flow_failed(flow, "send");
  bool was_waiting = flow->sent > 0;
  if (sent > 0) flow->sent += (size_t)sent;
  if (flow->sent < bytes) flow_watch_again(flow, EPOLLIN | EPOLLOUT);
  else if (was_waiting) flow_watch_again(flow, EPOLLIN);
}

static void ping_start(struct flow *flow) {
  flow->started_ns = now_ns();
  message_stamp(flow, flow->started_ns, flow->part->bytes);
  flow->sent = flow->received = 0;
  ping_send(flow);
}

static void ping_open(struct flow *flow) {
  if (!flow_open(flow)) return;
  message_create(flow, 'E', flow->part->bytes);
  flow_watch(flow, EPOLLIN);
  ping_start(flow);
}

static void ping_returned(struct flow *flow) {
  struct tally *tally = &flow->part->tally;
  uint64_t at_ns = now_ns();
  moved(tally, flow->part->bytes, 1, at_ns);
  took(tally, flow->started_ns, at_ns);
  if (at_ns >= window_end_ns) return flow_close(flow);
  if (flow->part->pause_ns > 0) return flow_rest(flow);
  ping_start(flow);
}

static void ping_receive(struct flow *flow) {
  struct tally *tally = &flow->part->tally;
  size_t wanted = flow->part->bytes - flow->received;
  ssize_t count = recv(flow->fd, scratch, wanted < SCRATCH_BYTES ? wanted : SCRATCH_BYTES, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count < 0) return flow_failed(flow, "receive");
  if (count == 0) {
    failed(tally, "ping-pong: closed by the other side");
    return flow_close(flow);
  }
  if (memcmp(scratch, flow->message + flow->received, (size_t)count) != 0) {
    failed(tally, "ping-pong: the echo differs from what was sent");
    return flow_close(flow);
  }
  flow->received += (size_t)count;
  if (flow->received == flow->part->bytes) ping_returned(flow);
}

static void ping_event(struct flow *flow, uint32_t events) {
  if (flow->due_ns != 0) {
    failed(&flow->part->tally, "ping-pong: closed by the other side, or more bytes than were sent");
    return flow_close(flow);
  }
  if (events & EPOLLOUT) ping_send(flow);
  if (flow->fd >= 0 && (events & (EPOLLIN | EPOLLERR | EPOLLHUP))) ping_receive(flow);
}

/* -- connect: connect, 64 B there, 64 B back, the backend closes -- */

static void connect_send(struct flow *flow, int operation) {
  ssize_t sent = send(flow->fd, flow->message + flow->sent, EXCHANGE_BYTES - flow->sent, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return flow_failed(flow, "connect and send");
  if (sent > 0) flow->sent += (size_t)sent;
  uint32_t events = flow->sent < EXCHANGE_BYTES ? EPOLLOUT : EPOLLIN | EPOLLRDHUP;
  watch(flow->part->load->loop.prompt, operation, flow->fd, events, flow);
}

static void connect_open(struct flow *flow) {
  if (flow->message == NULL) message_create(flow, 'C', EXCHANGE_BYTES);
  flow->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (flow->fd < 0) die("open a socket");
  flow->part->load->open++;
  flow->sent = flow->received = 0;
  flow->started_ns = now_ns();
  message_stamp(flow, flow->started_ns, EXCHANGE_BYTES);
  struct sockaddr_in address = loopback(flow->part->load->port);
  if (connect(flow->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
    return flow_failed(flow, "connect");
  }
  /* On loopback the handshake is over by now, so the request goes out without waiting for an event. */
  connect_send(flow, EPOLL_CTL_ADD);
}

static void connect_closed(struct flow *flow) {
  struct tally *tally = &flow->part->tally;
  uint64_t at_ns = now_ns();
  if (flow->received == EXCHANGE_BYTES) {
    moved(tally, EXCHANGE_BYTES, 1, at_ns);
    took(tally, flow->started_ns, at_ns);
  } else {
    failed(tally, "connect: closed after %zu of %d bytes", flow->received, EXCHANGE_BYTES);
  }
  flow_close(flow);
}

static void connect_receive(struct flow *flow, uint32_t events) {
  ssize_t count = recv(flow->fd, scratch, SCRATCH_BYTES, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count < 0) return flow_failed(flow, "receive");
  if (count == 0) return connect_closed(flow);
  size_t wanted = EXCHANGE_BYTES - flow->received;
  if ((size_t)count > wanted || memcmp(scratch, flow->message + flow->received, (size_t)count) != 0) {
    failed(&flow->part->tally, "connect: the answer differs from what was sent");
    return flow_close(flow);
  }
  flow->received += (size_t)count;
  /* The FIN was there before the receive and the receive took all: no second call is needed to see it. */
  if ((events & EPOLLRDHUP) && !(events & EPOLLERR)) connect_closed(flow);
}

static void connect_event(struct flow *flow, uint32_t events) {
  if (flow->sent < EXCHANGE_BYTES) connect_send(flow, EPOLL_CTL_MOD);
  else connect_receive(flow, events);
}

const struct kind chat_kinds[] = {
  {.name = "ping-pong", .open = ping_open, .event = ping_event, .go_on = ping_start},
  {.name = "connect", .repeats = true, .open = connect_open, .event = connect_event},
};
