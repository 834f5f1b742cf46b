/** Figures as text, short and with their units. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** `12,345` */
export function count(value: number): string {
  return whole.format(value);
}

/** `0`, `0.25`, `3.1`, `120`, `12,345`: three digits, but no whole ones are lost. */
export function figure(value: number): string {
  if (value === 0 || value >= 99.95) return whole.format(value);
  const text = value.toFixed(value >= 9.995 ? 1 : 2);
  return text.replace(/\.?0+$/, "") || "0";
}

/** `3.1/s` */
export function perSecond(value: number): string {
  return `${figure(value)}/s`;
}

const byteUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** `512 B`, `1.5 KiB`, `230 MiB` */
export function bytes(value: number): string {
  let amount = value;
  let unit = 0;
  // 1,000 and not 1,024, so that there are never four digits.
  while (amount >= 999.5 && unit < byteUnits.length - 1) {
    amount /= 1_024;
    unit++;
  }
  return `${unit === 0 ? whole.format(amount) : figure(amount)} ${byteUnits[unit]!}`;
}

/** `1.5 KiB/s` */
export function bytesPerSecond(value: number): string {
  return `${bytes(value)}/s`;
}

/** `0.25 ms`, `12 ms`, `1.5 s`: of a latency. */
export function milliseconds(ms: number): string {
  return ms < 999.5 ? `${figure(ms)} ms` : `${figure(ms / 1_000)} s`;
}

/** `12 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`: of a wait or an age, two units at most. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
  return `${whole.format(Math.floor(seconds / 86_400))} d ${Math.floor((seconds % 86_400) / 3_600)} h`;
}

/** `14:05`, `14:05:09`: a moment of the day where the reader is. */
export function timeOfDay(ms: number, withSeconds: boolean): string {
  const date = new Date(ms);
  const parts = [date.getHours(), date.getMinutes(), ...(withSeconds ? [date.getSeconds()] : [])];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}
