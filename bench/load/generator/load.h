/* A load: parts that run at once, each of a kind, each with its flows. A flow is one connection after the other. */
#ifndef LOAD_H
#define LOAD_H

#include "tally.h"

struct flow {
  int fd;               /* -1 while closed */
  struct part *part;
  uint64_t due_ns;      /* it rests until then; 0 = it does not rest */
  uint8_t *message;     /* what was sent, and must come back */
  size_t sent, received;
  uint64_t started_ns;
  uint64_t counted;     /* bulk bytes, to be compared with the far side's count */
  uint8_t tail[8];      /* the last bytes that came: the far side's count */
  bool finishing;       /* bulk: enough has moved, the count is awaited */
};

struct part {
  struct load *load;
  const struct kind *kind;
  size_t connections, bytes;
  uint64_t pause_ns;
  bool repeats;         /* a flow whose connection has closed opens the next one */
  struct flow *flows;
  struct tally tally;
};

struct load {
  struct loop loop;
  int port;
  struct part *parts;
  size_t count;
  size_t discard_bytes; /* one discarding receive */
  size_t open, resting; /* flows with a connection; flows with `due_ns` */
  uint64_t first_due_ns; /* no flow is due before this */
};

struct kind {
  const char *name;
  bool is_bulk;         /* which of the loop's two sets its sockets are in */
  bool repeats;
  void (*open)(struct flow *);
  void (*event)(struct flow *, uint32_t events);
  void (*go_on)(struct flow *);  /* after a rest with the connection open; NULL = it never rests so */
  void (*finish)(struct flow *); /* the time is over; NULL = it ends by itself */
};

extern const struct kind chat_kinds[2], bulk_kinds[5];

/* A connection made blocking, with a limit, since setting up is not what these kinds measure; false when it failed. */
bool flow_open(struct flow *flow);
void flow_close(struct flow *flow);
/* Counts an error "ACTION: ERRNO" and closes. */
void flow_failed(struct flow *flow, const char *action);
/* Watches a socket that is not watched yet, and makes it non-blocking. */
void flow_watch(struct flow *flow, uint32_t events);
void flow_watch_again(struct flow *flow, uint32_t events);
/* Rests for the pause of its part. */
void flow_rest(struct flow *flow);
void message_create(struct flow *flow, uint8_t mode, size_t bytes);
/* Makes it a message nobody else sends: the mode, then who and which, then a pattern. */
void message_stamp(struct flow *flow, uint64_t serial, size_t bytes);

#endif
