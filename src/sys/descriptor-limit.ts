/** How many descriptors this process may have. */
import { readFileSync } from "node:fs";

/** Where the system does not tell: the usual hard limit of Linux distributions. */
const assumedLimit = 4096;

/** The hard limit of open descriptors; Bun raises the soft one to it at start (Bun 1.4.5). */
export function descriptorLimit(): number {
  let limits: string;
  try {
    limits = readFileSync("/proc/self/limits", "utf8");
  } catch {
    return assumedLimit;
  }
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1];
  if (hard === "unlimited") return Number.MAX_SAFE_INTEGER;
  return hard === undefined ? assumedLimit : Number(hard);
}
