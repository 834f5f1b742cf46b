/* What every part of the generator uses: its limits, its buffers, sockets on loopback, and waiting for events. */
#ifndef COMMON_H
#define COMMON_H

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

enum {
  EXCHANGE_BYTES = 64,         /* the request and the answer of `connect` and `hold` */
  BULK_BYTES = 256 * 1024,     /* one send of a bulk flow: fits the second-level cache */
  DISCARD_BYTES = 4 << 20,     /* one discarding receive */
  DISCARD_SHORT_BYTES = 256 * 1024, /* the same while round trips are timed, which it must not hold up */
  SCRATCH_BYTES = 64 * 1024,   /* one copying receive */
  CUT_BYTES = 8 << 20,         /* what the backend sends before it resets a connection (mode 'R') */
  EVENTS_MAX = 256,            /* events taken by one epoll_wait */
  ERRORS_MAX = 1000,           /* a load gives up here, since it would only measure failures */
  GRACE_MS = 5000,             /* for answers still missing when the time is over; then they are errors */
};

extern uint8_t scratch[SCRATCH_BYTES];
extern uint8_t bulk[BULK_BYTES]; /* all 'U', so that a bulk flow up needs no first byte of its own */

/* Ends the program with "generator: cannot ACTION: ERRNO" and exit code 1. */
_Noreturn void die(const char *action);
uint64_t now_ns(void);
/* Zeroed; never NULL. */
void *allocate(size_t count, size_t size);
struct sockaddr_in loopback(int port);
void no_delay(int fd);
/* Closes with a reset: what is not sent yet is thrown away. */
void close_with_reset(int fd);

/*
 * Two sets of sockets. Those in `prompt` answer small messages, or measure how long that takes; a socket in `bulk` moves
 * as much as fits at a time. So that bulk delays a small message by one such piece at most, every turn serves `prompt`
 * first, and looks at it again after each piece.
 */
struct loop { int prompt, bulk; };

typedef void handler(void *context, void *owner, uint32_t events);

void loop_create(struct loop *loop);
/* epoll_ctl that can't fail. */
void watch(int epoll, int operation, int fd, uint32_t events, void *owner);
/* Waits for at most `timeout_ms` (-1: for ever) and hands what there is to `handle`. */
void loop_turn(struct loop *loop, int timeout_ms, handler *handle, void *context);

/* The three things the program does. */
void serve(int port);
bool drive(int port, double seconds, char **parts, size_t count); /* false: a part that it does not understand */
void hold(int port, size_t connections);

#endif
