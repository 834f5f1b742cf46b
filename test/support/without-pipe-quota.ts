/**
 * Preloaded into the real process by a test: an unprivileged user whose pipes hold all that they may. Who is root
 * becomes `nobody` first, since root has no quota; then as many large pipes as are allowed are made and kept.
 */
import { dlopen } from "bun:ffi";

const F_SETPIPE_SZ = 1031;
const nobody = 65_534;
/** Where the system sets no bound (/proc/sys/fs/pipe-user-pages-soft is 0) there is nothing to be tested. */
const pipesMax = 2_000;

if (process.getuid!() === 0) {
  process.setgid!(nobody);
  process.setuid!(nobody);
}
const { symbols } = dlopen("libc.so.6", {
  pipe: { args: ["ptr"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
});
const ends = new Int32Array(new ArrayBuffer(8));
for (let made = 0; ; made++) {
  if (made === pipesMax) throw new Error("there is no quota of pipes");
  if (symbols.pipe(ends) !== 0) throw new Error("pipe failed");
  if (symbols.fcntl(ends[1]!, F_SETPIPE_SZ, 1024 * 1024) >= 0) continue;
  // What is left of the quota goes in the smallest steps there are: until one more page is refused.
  for (let bytes = 65_536 * 2; symbols.fcntl(ends[1]!, F_SETPIPE_SZ, bytes) >= 0; bytes *= 2);
  break;
}
for (let made = 0; made < 64; made++) symbols.pipe(ends);
