/** TCP keepalive, so that a peer that vanished without a word is noticed. */
import { IPPROTO_TCP, libc, SO_KEEPALIVE, SOL_SOCKET, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL } from "../sys/libc.ts";

/** Probes without an answer before a peer is dead. */
const probes = 3;

/** A socket of Bun's, as far as it is needed where there is no C library. */
export interface KeepAliveSocket {
  setKeepAlive(enable: boolean, idleMs: number): unknown;
}

/**
 * Probes a peer that was silent for `idleMs`: three times, a third of it apart, so that a dead one is noticed after twice
 * `idleMs`. Bun's own call sets only the first figure and leaves ten probes a second apart (Bun 1.4.5).
 */
export function keepAlive(fd: number, idleMs: number, socket?: KeepAliveSocket): void {
  const idleSeconds = Math.max(1, Math.round(idleMs / 1000));
  if (libc === undefined) {
    socket?.setKeepAlive(true, idleSeconds * 1000);
    return;
  }
  libc.setOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, idleSeconds);
  libc.setOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, Math.max(1, Math.round(idleSeconds / probes)));
  libc.setOption(fd, IPPROTO_TCP, TCP_KEEPCNT, probes);
  libc.setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}
