/*
 * The load generator and the backend of `bun run bench:load`: one small epoll program, so that neither is the limit.
 *
 *   generator serve PORT                    the backend; PORT 0 takes a free one; prints {"port":N}
 *   generator drive PORT SECONDS PART...    a load of one or more parts at once; prints one JSON line when it is over: an
 *                                           array with a report for each part
 *   generator hold PORT CONNECTIONS         idle connections; prints {"ready":N}, holds until its standard input ends,
 *                                           then one JSON line as above
 *
 * PART is KIND:CONNECTIONS:BYTES:PAUSE_MS, of which BYTES and PAUSE_MS may be left out or 0:
 *   ping-pong               BYTES a message; PAUSE_MS between an echo and the next message
 *   connect                 64 B there and back, then the backend closes; PAUSE_MS between two connections
 *   bulk-down, bulk-up      a flow of BYTES, then the next one after PAUSE_MS; without BYTES it lasts, and rests for PAUSE_MS
 *                           after each piece
 *   reset-down, reset-up    as bulk, but after BYTES the client resets the connection
 *   reset-far               the backend sends 8 MiB and resets the connection
 * A pause is a random one between half and one and a half times PAUSE_MS, so that connections don't fall into step.
 */
#include "common.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

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
    hold(atoi(arguments[2]), (size_t)atoi(arguments[3]));
    return 0;
  }
  if (count >= 5 && strcmp(arguments[1], "drive") == 0) {
    if (drive(atoi(arguments[2]), atof(arguments[3]), arguments + 4, (size_t)count - 4)) return 0;
  }
  fprintf(stderr, "usage: generator serve PORT | drive PORT SECONDS KIND:CONNECTIONS:BYTES:PAUSE_MS... | hold PORT CONNECTIONS\n");
  return 2;
}
