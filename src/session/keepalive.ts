/** TCP keepalive, so that a peer that vanished without a word is noticed. */
import type { ProxySocket } from "../forward/receiver.ts";
import { IPPROTO_TCP, libc, SO_KEEPALIVE, SOL_SOCKET, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL } from "../sys/libc.ts";

/** The age at which a session gets it: most are over by then and save eight system calls. */
export const keepaliveAfterMs = 5_000;

/** Probes without an answer before a peer is dead. */
const probes = 3;

/**
 * Probes a peer that was silent for `idleMs`: three times, a third of it apart, so that a dead one is noticed after twice
 * `idleMs`. Bun's own call sets only the first figure and leaves ten probes a second apart (Bun 1.4.5).
 */
export function keepAlive(socket: ProxySocket, idleMs: number): void {
  const idleSeconds = Math.max(1, Math.round(idleMs / 1000));
  if (libc === undefined) {
    socket.setKeepAlive(true, idleSeconds * 1000);
    return;
  }
  libc.setOption(socket.fd, IPPROTO_TCP, TCP_KEEPIDLE, idleSeconds);
  libc.setOption(socket.fd, IPPROTO_TCP, TCP_KEEPINTVL, Math.max(1, Math.round(idleSeconds / probes)));
  libc.setOption(socket.fd, IPPROTO_TCP, TCP_KEEPCNT, probes);
  libc.setOption(socket.fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}
