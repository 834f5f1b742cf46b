/* What one part of a load counts, and its report. */
#ifndef TALLY_H
#define TALLY_H

#include "common.h"

struct tally {
  uint64_t total_bytes, total_operations;       /* from the first byte to the last: what CPU is divided by */
  uint64_t measured_bytes, measured_operations; /* inside the window: what the rate comes from */
  uint32_t latency_buckets[64 * 64];            /* 32 steps for each power of two, so a figure is at most 3 % too low */
  uint64_t errors;
  char first_error[160];
};

/* The time that is measured. It begins a little after the load does. */
extern uint64_t window_start_ns, window_end_ns;
void window_open(double seconds);

/* Of all parts together. */
extern uint64_t errors_of_all;

void failed(struct tally *tally, const char *format, ...) __attribute__((format(printf, 2, 3)));
void moved(struct tally *tally, uint64_t bytes, uint64_t operations, uint64_t at_ns);
/* An operation that took from `started_ns` to `at_ns`; counted when it ended after the start of the window. */
void took(struct tally *tally, uint64_t started_ns, uint64_t at_ns);
/* One JSON object, without a line end. */
void report(struct tally *tally);

#endif
