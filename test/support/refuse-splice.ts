/**
 * Preloaded into the real process by a test: from then on the kernel refuses splice(2) to it, with ENOSYS, as a sandbox
 * does by a seccomp filter.
 */
import { dlopen, ptr } from "bun:ffi";

const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_SET_MODE_FILTER = 1;
/** For all threads, those that are there already included. */
const SECCOMP_FILTER_FLAG_TSYNC = 1;
const SECCOMP_RET_ALLOW = 0x7fff0000;
const SECCOMP_RET_ERRNO = 0x00050000;
const ENOSYS = 38;
/** Numbers of system calls (asm/unistd.h). */
const numbers = process.arch === "x64" ? { seccomp: 317, splice: 275 } : { seccomp: 277, splice: 76 };

const { symbols } = dlopen("libc.so.6", {
  prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
  syscall: { args: ["i64", "u64", "u64", "ptr"], returns: "i64" },
});

/** `struct sock_filter`: u16 code, u8 jump if true, u8 jump if false, u32 operand (linux/filter.h). */
const instructions: readonly (readonly [code: number, ifTrue: number, ifFalse: number, operand: number])[] = [
  [0x20, 0, 0, 0], // load the number of the system call
  [0x15, 0, 1, numbers.splice], // splice?
  [0x06, 0, 0, SECCOMP_RET_ERRNO | ENOSYS],
  [0x06, 0, 0, SECCOMP_RET_ALLOW],
];
const filter = new DataView(new ArrayBuffer(instructions.length * 8));
for (const [index, [code, ifTrue, ifFalse, operand]] of instructions.entries()) {
  filter.setUint16(index * 8, code, true);
  filter.setUint8(index * 8 + 2, ifTrue);
  filter.setUint8(index * 8 + 3, ifFalse);
  filter.setUint32(index * 8 + 4, operand, true);
}
const filterBytes = new Uint8Array(filter.buffer);
const program = new DataView(new ArrayBuffer(16));
program.setUint16(0, instructions.length, true);
program.setBigUint64(8, BigInt(ptr(filterBytes)), true);

if (symbols.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) !== 0) throw new Error("prctl failed");
const failed = symbols.syscall(
  numbers.seccomp,
  SECCOMP_SET_MODE_FILTER,
  SECCOMP_FILTER_FLAG_TSYNC,
  new Uint8Array(program.buffer),
);
if (Number(failed) !== 0) throw new Error(`seccomp gave ${failed}`);
