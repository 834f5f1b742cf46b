/*
 * The backend. The first byte a client sends says what happens with that connection, so one backend serves every load:
 *   'E' echo       every byte goes back (ping-pong, hold)
 *   'C' connect    64 B are taken, the same 64 B go back, and the backend closes
 *   'D' down       the backend sends until an 'S' arrives, then how many bytes it has sent (8 B), and closes
 *   'U' up         the backend discards until the client has finished, then sends how many bytes came (8 B), and closes
 *   'R' reset      the backend sends 8 MiB and resets the connection
 */
#include "common.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
  int fd;
  int epoll;         /* the one of the loop's two that watches it */
  uint8_t mode;      /* first byte seen; 0 before it */
  uint8_t *queue;    /* bytes of an echo or a count that the socket did not take yet */
  size_t queued, queue_sent;
  bool last;         /* close as soon as the queue is empty */
  uint64_t counted;  /* bytes sent ('D', 'R') or received ('U') */
  uint8_t request[EXCHANGE_BYTES];
  size_t request_bytes;
};

struct backend {
  struct loop loop;
  int listener;
};

static void client_close(struct client *client) {
  close(client->fd);
  free(client->queue);
  free(client);
}

static void client_watch(struct client *client, uint32_t events) {
  watch(client->epoll, EPOLL_CTL_MOD, client->fd, events, client);
}

static void client_become_bulk(struct backend *backend, struct client *client, uint32_t events) {
  watch(client->epoll, EPOLL_CTL_DEL, client->fd, 0, NULL);
  client->epoll = backend->loop.bulk;
  watch(client->epoll, EPOLL_CTL_ADD, client->fd, events, client);
}

static void client_flush(struct client *client) {
  ssize_t sent = send(client->fd, client->queue + client->queue_sent, client->queued - client->queue_sent, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return client_close(client);
  if (sent > 0) client->queue_sent += (size_t)sent;
  if (client->queue_sent < client->queued) return client_watch(client, EPOLLOUT);
  free(client->queue);
  client->queue = NULL;
  if (client->last) return client_close(client);
  client_watch(client, EPOLLIN);
}

static void client_send(struct client *client, const void *bytes, size_t count) {
  ssize_t sent = send(client->fd, bytes, count, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return client_close(client);
  if (sent < 0) sent = 0;
  if ((size_t)sent == count) {
    if (client->last) client_close(client);
    return;
  }
  client->queued = count - (size_t)sent;
  client->queue_sent = 0;
  client->queue = allocate(client->queued, 1);
  memcpy(client->queue, (const uint8_t *)bytes + sent, client->queued);
  client_watch(client, EPOLLOUT);
}

static void client_count(struct client *client) {
  client->last = true;
  client_send(client, &client->counted, sizeof client->counted);
}

static void client_exchange(struct client *client, size_t count) {
  size_t room = EXCHANGE_BYTES - client->request_bytes;
  size_t taken = count < room ? count : room;
  memcpy(client->request + client->request_bytes, scratch, taken);
  client->request_bytes += taken;
  if (client->request_bytes < EXCHANGE_BYTES) return;
  client->last = true;
  client_send(client, client->request, EXCHANGE_BYTES);
}

/* Bulk receivers let the kernel discard (MSG_TRUNC), since copying into the generator would measure the generator. */
static void client_discard(struct client *client) {
  ssize_t count = recv(client->fd, NULL, DISCARD_BYTES, MSG_TRUNC);
  if (count > 0) client->counted += (uint64_t)count;
  else if (count == 0) client_count(client);
  else if (errno != EAGAIN) client_close(client);
}

static void client_readable(struct backend *backend, struct client *client) {
  if (client->mode == 'U') return client_discard(client);
  ssize_t count = recv(client->fd, scratch, SCRATCH_BYTES, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) return client_close(client);
  if (client->mode == 0) {
    client->mode = scratch[0];
    if (client->mode == 'D' || client->mode == 'R') client_become_bulk(backend, client, EPOLLIN | EPOLLOUT);
    if (client->mode == 'U') client_become_bulk(backend, client, EPOLLIN);
  }
  switch (client->mode) {
    case 'E': return client_send(client, scratch, (size_t)count);
    case 'C': return client_exchange(client, (size_t)count);
    case 'U': client->counted += (uint64_t)count; return;
    case 'D':
      if (memchr(scratch, 'S', (size_t)count) != NULL) client_count(client);
      return;
    case 'R': return;
    default: return client_close(client);
  }
}

static void client_writable(struct client *client) {
  ssize_t sent = send(client->fd, bulk, BULK_BYTES, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return client_close(client);
  if (sent > 0) client->counted += (uint64_t)sent;
  if (client->mode != 'R' || client->counted < CUT_BYTES) return;
  close_with_reset(client->fd);
  free(client);
}

static void accept_all(struct backend *backend) {
  for (int fd; (fd = accept4(backend->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
    struct client *client = allocate(1, sizeof *client);
    client->fd = fd;
    client->epoll = backend->loop.prompt;
    watch(client->epoll, EPOLL_CTL_ADD, fd, EPOLLIN, client);
  }
  /* Out of descriptors the queue would be reported for ever; the run is void, so it ends. */
  if (errno == EMFILE || errno == ENFILE) die("accept");
}

static void backend_event(void *context, void *owner, uint32_t events) {
  struct backend *backend = context;
  struct client *client = owner;
  if (client == NULL) return accept_all(backend);
  if (client->queue != NULL) return client_flush(client);
  if (events & EPOLLIN) return client_readable(backend, client);
  if (events & (EPOLLERR | EPOLLHUP)) return client_close(client);
  client_writable(client);
}

void serve(int port) {
  struct backend backend = {.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  int on = 1;
  setsockopt(backend.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  no_delay(backend.listener); /* inherited by every accepted socket */
  struct sockaddr_in address = loopback(port);
  socklen_t size = sizeof address;
  if (bind(backend.listener, (struct sockaddr *)&address, size) < 0 || listen(backend.listener, 4096) < 0) die("listen");
  getsockname(backend.listener, (struct sockaddr *)&address, &size);
  printf("{\"port\":%d}\n", ntohs(address.sin_port));
  fflush(stdout);

  loop_create(&backend.loop);
  watch(backend.loop.prompt, EPOLL_CTL_ADD, backend.listener, EPOLLIN, NULL);
  for (;;) loop_turn(&backend.loop, -1, backend_event, &backend);
}
