/* Bulk: one direction as fast as it goes, checked by the far side's count; and bulk that is cut by a reset. */
#include "load.h"
#include <string.h>
#include <sys/socket.h>

static void tail_keep(struct flow *flow, const uint8_t *bytes, size_t count) {
  if (count >= 8) {
    memcpy(flow->tail, bytes + count - 8, 8);
    return;
  }
  memmove(flow->tail, flow->tail + count, 8 - count);
  memcpy(flow->tail + 8 - count, bytes, count);
}

/* The far side has closed: what it counted must be what we did. */
static void bulk_counted(struct flow *flow) {
  struct tally *tally = &flow->part->tally;
  uint64_t theirs;
  memcpy(&theirs, flow->tail, sizeof theirs);
  if (flow->counted == theirs) {
    moved(tally, 0, 1, now_ns());
  } else {
    failed(tally, "%s: %llu bytes here, %llu on the far side", flow->part->kind->name,
           (unsigned long long)flow->counted, (unsigned long long)theirs);
  }
  flow_close(flow);
}

static void bulk_cut(struct flow *flow) {
  failed(&flow->part->tally, "%s: closed by the other side", flow->part->kind->name);
  flow_close(flow);
}

static void bulk_moved(struct flow *flow, ssize_t count) {
  flow->counted += (uint64_t)count;
  moved(&flow->part->tally, (uint64_t)count, 0, now_ns());
}

/* A flow that lasts rests between its pieces. Nothing is watched then, but a reset is seen all the same. */
static void bulk_rest(struct flow *flow) {
  if (flow->part->bytes != 0 || flow->part->pause_ns == 0) return;
  flow_watch_again(flow, 0);
  flow_rest(flow);
}

/* Whether all that this flow is to move has moved; one without a size has never. */
static bool bulk_enough(const struct flow *flow) {
  return flow->part->bytes != 0 && flow->counted >= flow->part->bytes;
}

static void bulk_begin(struct flow *flow) {
  flow->counted = 0;
  flow->finishing = false;
  memset(flow->tail, 0, sizeof flow->tail);
}

/* -- down -- */

static void open_with(struct flow *flow, const char *mode) {
  bulk_begin(flow);
  if (!flow_open(flow)) return;
  if (send(flow->fd, mode, 1, MSG_NOSIGNAL) != 1) return flow_failed(flow, "send");
  flow_watch(flow, EPOLLIN);
}

static void down_open(struct flow *flow) {
  open_with(flow, "D");
}

static void down_go_on(struct flow *flow) {
  flow_watch_again(flow, EPOLLIN);
}

static void down_finish(struct flow *flow) {
  flow->finishing = true;
  if (send(flow->fd, "S", 1, MSG_NOSIGNAL) != 1) return flow_failed(flow, "send");
  flow_watch_again(flow, EPOLLIN);
}

/* Discards one piece and counts it; false when there was none, or the flow has ended. */
static bool down_discard(struct flow *flow) {
  ssize_t count = recv(flow->fd, NULL, flow->part->load->discard_bytes, MSG_TRUNC);
  if (count < 0 && errno == EAGAIN) return false;
  if (count < 0) return flow_failed(flow, "receive"), false;
  if (count == 0) return bulk_cut(flow), false;
  bulk_moved(flow, count);
  return true;
}

static void down_event(struct flow *flow, uint32_t events) {
  (void)events;
  if (!flow->finishing) {
    if (!down_discard(flow)) return;
    return bulk_enough(flow) ? down_finish(flow) : bulk_rest(flow);
  }
  ssize_t count = recv(flow->fd, scratch, SCRATCH_BYTES, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count < 0) return flow_failed(flow, "receive");
  if (count == 0) {
    flow->counted -= 8; /* the count itself */
    return bulk_counted(flow);
  }
  bulk_moved(flow, count);
  tail_keep(flow, scratch, (size_t)count);
}

/* -- up -- */

static void up_open(struct flow *flow) {
  bulk_begin(flow);
  if (flow_open(flow)) flow_watch(flow, EPOLLOUT);
}

static void up_go_on(struct flow *flow) {
  flow_watch_again(flow, EPOLLOUT);
}

static void up_finish(struct flow *flow) {
  /* Opened when the time was over: the backend has not heard what to count. */
  if (flow->counted == 0) return flow_close(flow);
  flow->finishing = true;
  shutdown(flow->fd, SHUT_WR);
  flow_watch_again(flow, EPOLLIN);
}

/* Sends one piece and counts it; false when there was no room, or the flow has ended. */
static bool up_send(struct flow *flow, uint32_t events) {
  if (events & (EPOLLERR | EPOLLHUP)) return bulk_cut(flow), false;
  ssize_t sent = send(flow->fd, bulk, BULK_BYTES, MSG_NOSIGNAL);
  if (sent < 0 && errno == EAGAIN) return false;
  if (sent < 0) return flow_failed(flow, "send"), false;
  bulk_moved(flow, sent);
  return true;
}

static void up_event(struct flow *flow, uint32_t events) {
  if (!flow->finishing) {
    if (!up_send(flow, events)) return;
    return bulk_enough(flow) ? up_finish(flow) : bulk_rest(flow);
  }
  ssize_t count = recv(flow->fd, scratch, SCRATCH_BYTES, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count < 0) return flow_failed(flow, "receive");
  if (count == 0) return bulk_counted(flow);
  tail_keep(flow, scratch, (size_t)count);
}

/* -- cut by a reset -- */

static void reset_now(struct flow *flow) {
  struct load *load = flow->part->load;
  close_with_reset(flow->fd);
  flow->fd = -1;
  load->open--;
  moved(&flow->part->tally, 0, 1, now_ns());
}

static void reset_down_event(struct flow *flow, uint32_t events) {
  (void)events;
  if (down_discard(flow) && bulk_enough(flow)) reset_now(flow);
}

static void reset_up_event(struct flow *flow, uint32_t events) {
  if (up_send(flow, events) && bulk_enough(flow)) reset_now(flow);
}

static void far_open(struct flow *flow) {
  open_with(flow, "R");
}

/* The backend resets, and that is what must arrive: an orderly end would say that all bytes have come. */
static void far_event(struct flow *flow, uint32_t events) {
  (void)events;
  ssize_t count = recv(flow->fd, NULL, flow->part->load->discard_bytes, MSG_TRUNC);
  if (count < 0 && errno == EAGAIN) return;
  if (count > 0) return bulk_moved(flow, count);
  if (count == 0) {
    failed(&flow->part->tally, "reset-far: the backend's reset arrived as an orderly end");
    return flow_close(flow);
  }
  if (errno != ECONNRESET) return flow_failed(flow, "receive");
  moved(&flow->part->tally, 0, 1, now_ns());
  flow_close(flow);
}

const struct kind bulk_kinds[] = {
  {"bulk-down", true, false, down_open, down_event, down_go_on, down_finish},
  {"bulk-up", true, false, up_open, up_event, up_go_on, up_finish},
  {"reset-down", true, true, down_open, reset_down_event, NULL, reset_now},
  {"reset-up", true, true, up_open, reset_up_event, NULL, reset_now},
  {"reset-far", true, true, far_open, far_event, NULL, NULL},
};
