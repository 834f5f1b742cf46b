/* Counting: bytes and operations inside the window and in all, latencies in buckets, errors with the first one's text. */
#include "tally.h"
#include <stdarg.h>
#include <stdio.h>

static const double LEAD_SECONDS = 0.1; /* windows and buffers fill: counted for CPU, not for the rate */

uint64_t window_start_ns, window_end_ns, errors_of_all;

void window_open(double seconds) {
  window_start_ns = now_ns() + (uint64_t)(LEAD_SECONDS * 1e9);
  window_end_ns = window_start_ns + (uint64_t)(seconds * 1e9);
}

void failed(struct tally *tally, const char *format, ...) {
  errors_of_all++;
  if (tally->errors++ > 0) return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(tally->first_error, sizeof tally->first_error, format, arguments);
  va_end(arguments);
}

void moved(struct tally *tally, uint64_t bytes, uint64_t operations, uint64_t at_ns) {
  tally->total_bytes += bytes;
  tally->total_operations += operations;
  if (at_ns < window_start_ns || at_ns >= window_end_ns) return;
  tally->measured_bytes += bytes;
  tally->measured_operations += operations;
}

void took(struct tally *tally, uint64_t started_ns, uint64_t at_ns) {
  if (at_ns < window_start_ns) return;
  uint64_t ns = at_ns - started_ns;
  unsigned power = ns < 64 ? 0 : 58 - (unsigned)__builtin_clzll(ns); /* ns >> power is in 32..63, or ns itself */
  tally->latency_buckets[power * 64 + (ns >> power)]++;
}

static double latency_us(const struct tally *tally, double share) {
  uint64_t all = 0, seen = 0;
  for (unsigned i = 0; i < 64 * 64; i++) all += tally->latency_buckets[i];
  for (unsigned i = 0; i < 64 * 64; i++) {
    seen += tally->latency_buckets[i];
    if (all > 0 && (double)seen >= share * (double)all) return (double)((uint64_t)(i % 64) << (i / 64)) / 1000.0;
  }
  return 0;
}

void report(struct tally *tally) {
  for (char *c = tally->first_error; *c != 0; c++) {
    if (*c == '"' || *c == '\\' || *c < ' ') *c = '\'';
  }
  printf("{\"bytes\":%llu,\"operations\":%llu,\"measuredBytes\":%llu,\"measuredOperations\":%llu,\"seconds\":%.6f,",
         (unsigned long long)tally->total_bytes, (unsigned long long)tally->total_operations,
         (unsigned long long)tally->measured_bytes, (unsigned long long)tally->measured_operations,
         (double)(window_end_ns - window_start_ns) / 1e9);
  printf("\"p50Us\":%.1f,\"p99Us\":%.1f,\"p999Us\":%.1f,\"errors\":%llu,\"firstError\":\"%s\"}", latency_us(tally, 0.5),
         latency_us(tally, 0.99), latency_us(tally, 0.999), (unsigned long long)tally->errors, tally->first_error);
}
