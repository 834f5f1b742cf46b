/** The curves of the last minutes: which there are, and the span of time that they show. */
import type { Sample, Samples } from "../wire.ts";
import { Chart } from "./chart.ts";
import { byId, element, setText } from "./dom.ts";
import { endGroups } from "./end-groups.ts";
import { bytesPerSecond, count, milliseconds, perSecond, timeOfDay } from "./format.ts";
import { type Points, SamplesKept } from "./samples-kept.ts";

/** Attempts to connect may be rare: up to here their times are joined by a line. */
const bridgeMs = 30_000;
/** Powers of two, since the units are: 1 B to 1 PiB. */
const byteSteps = Array.from({ length: 51 }, (_, power) => 2 ** power);
const wholeSteps = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

/** The part of the page with the curves. */
export class Curves {
  readonly #samples = new SamplesKept();
  readonly #pointed = byId("pointed", HTMLSpanElement);
  readonly #reasons = element("p", { class: "reasons note" });
  readonly #charts: readonly { readonly chart: Chart; columns(points: Points): ((number | null)[] | undefined)[] }[];
  #spanMs = 300_000;

  constructor() {
    const pointed = (timeMs: number | undefined): void => {
      setText(this.#pointed, timeMs === undefined ? "" : `at ${timeOfDay(timeMs, true)}`);
    };
    const whole = (value: number): string => count(value);
    this.#charts = [
      {
        chart: new Chart(
          {
            title: "Open connections",
            curves: [{ label: "open", color: "c1", filled: true }],
            format: whole,
            topMin: 4,
            steps: wholeSteps,
          },
          pointed,
        ),
        columns: ({ open }) => [open],
      },
      {
        chart: new Chart(
          {
            title: "Connections a second",
            curves: [
              { label: "opened", color: "c1" },
              { label: "ended", color: "c2" },
            ],
            format: perSecond,
            topMin: 1,
          },
          pointed,
        ),
        columns: ({ opened, ended }) => [opened, ended],
      },
      {
        chart: new Chart(
          {
            title: "Throughput",
            curves: [
              { label: "to client", color: "c1", filled: true },
              { label: "to backend", color: "c2" },
            ],
            format: bytesPerSecond,
            topMin: 1_024,
            steps: byteSteps,
          },
          pointed,
        ),
        columns: ({ toClient, toBackend }) => [toClient, toBackend],
      },
      {
        chart: new Chart(
          {
            title: "Connect latency",
            curves: [
              { label: "p50", color: "c1" },
              { label: "p99", color: "c2" },
            ],
            format: milliseconds,
            topMin: 1,
            wide: true,
            bridgeMs,
          },
          pointed,
        ),
        columns: ({ p50, p99 }) => [p50, p99],
      },
      {
        chart: new Chart(
          {
            title: "Ends by reason",
            curves: endGroups.map((label, index) => ({ label, color: `c${index + 1}` })),
            format: perSecond,
            topMin: 1,
            wide: true,
          },
          pointed,
        ),
        columns: ({ ends }) => endGroups.map((group) => ends.get(group)),
      },
    ];
    byId("charts", HTMLDivElement).append(...this.#charts.map(({ chart }) => chart.root));
    this.#charts.at(-1)!.chart.root.classList.add("broad");
    this.#charts.at(-1)!.chart.root.append(this.#reasons);
    this.#listen();
  }

  load(samples: Samples): void {
    this.#samples.load(samples, Date.now());
    this.#draw();
  }

  add(sample: Sample): void {
    this.#samples.add(sample, Date.now());
    this.#draw();
  }

  #listen(): void {
    byId("spans", HTMLFieldSetElement).addEventListener("change", (event) => {
      if (!(event.target instanceof HTMLInputElement)) return;
      this.#spanMs = Number(event.target.value) * 1_000;
      this.#draw();
    });
    document.addEventListener("visibilitychange", () => this.#draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const { chart } of this.#charts) chart.repaint();
    });
  }

  /** Nobody looks at a hidden page; it is drawn when it is shown again. */
  #draw(): void {
    if (document.hidden) return;
    const nowMs = Date.now();
    const points = this.#samples.points(this.#spanMs, nowMs);
    for (const { chart, columns } of this.#charts) {
      chart.show(points.times, columns(points), nowMs - this.#spanMs, nowMs);
    }
    const ends = this.#samples.endsWithin(this.#spanMs, nowMs);
    const reasons = ends.map(([end, times]) => `${end}\u00a0${count(times)}`).join(" · ");
    setText(this.#reasons, reasons === "" ? "no connection ended in this time" : reasons);
  }
}
