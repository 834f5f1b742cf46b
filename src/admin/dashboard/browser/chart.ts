/** One chart: curves over time with a legend that says the values, of now or of the moment pointed at. */
import uPlot from "uplot";
import { element, setAttribute, setText } from "./dom.ts";
import { timeOfDay } from "./format.ts";

/** A curve. */
export interface Curve {
  readonly label: string;
  /** The custom property of the style sheet that has its colour, without `--`. */
  readonly color: string;
  /** Whether the ground below it is filled. */
  readonly filled?: boolean;
}

/** What a chart shows, and how. */
export interface ChartSettings {
  readonly title: string;
  readonly curves: readonly Curve[];
  /** A value with its unit, short. */
  readonly format: (value: number) => string;
  /** What the scale goes up to at least. */
  readonly topMin: number;
  /** Steps between the lines of the scale; uPlot's own if left out. */
  readonly steps?: readonly number[];
  /** Small values stay visible beside big ones: from 1 on every tenfold takes as much space. */
  readonly wide?: boolean;
  /** Nulls in between are bridged when they are no longer than this; longer ones are a hole. */
  readonly bridgeMs?: number;
}

/** All charts show the same moment when one is pointed at. */
const syncKey = "sluice";
const heightPx = 150;
/** Steps between the lines of the time scale, in seconds: no span shows less than minutes. */
const minuteSteps: readonly number[] = [60, 120, 300, 600, 900, 1_800, 3_600];

/** A figure with a heading, a legend and curves. */
export class Chart {
  readonly root: HTMLElement;
  readonly #settings: ChartSettings;
  readonly #plotted = element("div", { class: "plot", role: "img" });
  readonly #legend: readonly { readonly item: HTMLLIElement; readonly value: HTMLElement }[];
  readonly #plot: uPlot;
  readonly #pointed: (timeMs: number | undefined) => void;
  #data: (number | null)[][];
  #fromSeconds = 0;
  #toSeconds = 1;

  /** `pointed` is told which moment the reader points at. */
  constructor(settings: ChartSettings, pointed: (timeMs: number | undefined) => void) {
    this.#settings = settings;
    this.#pointed = pointed;
    this.#data = [[], ...settings.curves.map(() => [])];
    this.#legend = settings.curves.map(({ label, color }) => {
      const value = element("b");
      return {
        item: element("li", { class: color }, element("i", { "aria-hidden": "true" }), `${label} `, value),
        value,
      };
    });
    const legend = element("ul", { class: "legend" }, ...this.#legend.map(({ item }) => item));
    const head = element("figcaption", {}, element("h3", {}, settings.title), legend);
    this.root = element("figure", { class: "chart" }, head, this.#plotted);
    this.#plot = new uPlot(this.#options(), this.#data as uPlot.AlignedData, this.#plotted);
    new ResizeObserver(() => this.#resize()).observe(this.#plotted);
  }

  /** Shows columns, of which the first has the times in seconds, between two moments. A curve without a column is left out. */
  show(times: number[], columns: readonly ((number | null)[] | undefined)[], fromMs: number, toMs: number): void {
    this.#fromSeconds = fromMs / 1_000;
    this.#toSeconds = toMs / 1_000;
    this.#data = [times, ...columns.map((column) => column ?? times.map(() => null))];
    this.#plot.setData(this.#data as uPlot.AlignedData);
    for (const [index, column] of columns.entries()) this.#legend[index]!.item.hidden = column === undefined;
    this.#fillLegend();
    setAttribute(this.#plotted, "aria-label", this.#inWords(columns));
  }

  /** Draws again, in the colours of now. */
  repaint(): void {
    this.#plot.redraw(true, true);
  }

  #options(): uPlot.Options {
    const { curves, wide = false, steps, format } = this.#settings;
    const axis = { stroke: () => colorOf("muted"), ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const grid = { stroke: () => colorOf("grid"), width: 1 };
    return {
      width: 300,
      height: heightPx,
      legend: { show: false },
      padding: [8, 4, 0, 0],
      cursor: { y: false, drag: { x: false, y: false, setScale: false }, sync: { key: syncKey }, points: { size: 7 } },
      scales: {
        x: { time: true, range: () => [this.#fromSeconds, this.#toSeconds] },
        y: { distr: wide ? 4 : 1, range: (_plot, _min, max) => [0, this.#top(max)] },
      },
      axes: [
        { ...axis, grid, size: 24, space: 46, incrs: [...minuteSteps], values: (_plot, times) => timesOf(times) },
        {
          ...axis,
          grid,
          size: 70,
          gap: 6,
          space: 30,
          values: (_plot, values) => values.map((value) => (value === null ? "" : format(value))),
          ...(steps === undefined ? {} : { incrs: [...steps] }),
          ...(wide ? { splits: (_plot: uPlot, _axis: number, _min: number, max: number) => tenfolds(max) } : {}),
        },
      ],
      series: [{}, ...curves.map((curve) => this.#series(curve))],
      hooks: { setCursor: [() => this.#fillLegend()] },
    };
  }

  #series({ color, filled = false }: Curve): uPlot.Series {
    const { bridgeMs = 0 } = this.#settings;
    return {
      stroke: () => colorOf(color),
      ...(filled ? { fill: () => `${colorOf(color)}22` } : {}),
      width: 1.5,
      // Only what stands alone is a point: nothing else would show it.
      points: {
        show: true,
        size: 3,
        width: 0,
        fill: () => colorOf(color),
        filter: (plot, index) => alone(plot, index),
      },
      gaps: (plot, _index, _from, _to, gaps) => {
        const bridgePx = (bridgeMs / 1_000 / (this.#toSeconds - this.#fromSeconds)) * plot.bbox.width;
        return gaps.filter(([from, to]) => to - from > bridgePx);
      },
    };
  }

  #top(max: number | null): number {
    const { topMin, wide = false } = this.#settings;
    const top = Math.max(max ?? 0, topMin);
    return wide ? 10 ** Math.ceil(Math.log10(top) - 1e-9) : top * 1.05;
  }

  #fillLegend(): void {
    const { idx } = this.#plot?.cursor ?? {};
    const times = this.#data[0]!;
    const at = idx ?? times.length - 1;
    for (const [index, { value }] of this.#legend.entries()) {
      const figure = this.#data[index + 1]![at];
      setText(value, figure === null || figure === undefined ? "–" : this.#settings.format(figure));
    }
    const time = times[at];
    this.#pointed(idx === null || idx === undefined || time === null || time === undefined ? undefined : time * 1_000);
  }

  /** What the picture shows, for those who don't see it. */
  #inWords(columns: readonly ((number | null)[] | undefined)[]): string {
    const { title, curves, format } = this.#settings;
    const said = curves.flatMap(({ label }, index) => {
      const values = (columns[index] ?? []).filter((value) => value !== null);
      if (values.length === 0) return [];
      return [`${label}: now ${format(values.at(-1)!)}, at most ${format(Math.max(...values))}`];
    });
    return `${title}. ${said.join("; ") || "nothing yet"}`;
  }

  #resize(): void {
    const width = this.#plotted.clientWidth;
    if (width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: heightPx });
  }
}

/** A colour of the style sheet, as it is now: light or dark. */
function colorOf(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function timesOf(times: readonly number[]): string[] {
  return times.map((seconds) => timeOfDay(seconds * 1_000, false));
}

/** 0, 1, 10, 100, … */
function tenfolds(max: number): number[] {
  const lines = [0];
  for (let line = 1; line <= max * 1.001; line *= 10) lines.push(line);
  return lines;
}

/** Points that have no neighbour. */
function alone(plot: uPlot, series: number): number[] {
  const values = plot.data[series]!;
  const found: number[] = [];
  for (let at = 0; at < values.length; at++) {
    const isAlone = (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null;
    if ((values[at] ?? null) !== null && isAlone) found.push(at);
  }
  return found;
}
