import type { EpochData } from "../rpc/plain";
import type { AxisMap } from "../store/axis";
import { type Drawable, decimate } from "../store/decimate";
import type { Track } from "../store/details";
import type { Metrics } from "../store/metrics";

type Values = (number | null | undefined)[];

export type LineKind = "raw" | "smooth" | "edge" | "earlier" | "points";

/** One line of a chart. */
export interface Line {
  /** What a reader calls it; lines of kind `edge` bound a band and are not named. */
  label: string;
  kind: LineKind;
  /** Which colour of the theme's series. */
  hue: number;
  values: Values;
}

/** What a chart draws: aligned values over x. */
export interface ChartData {
  x: number[];
  lines: Line[];
  /** x of values that are not finite. */
  broken: number[];
}

export interface SeriesOptions {
  /** Range of steps on screen. */
  firstStep: number;
  lastStep: number;
  /** About how many rows to draw at most. */
  buckets: number;
  axis: AxisMap;
  /** 0 for none. */
  smoothing: number;
  hue: number;
}

/** A series with its band of extremes, its smoothed line, and earlier attempts fainter. */
export function seriesData(metrics: Metrics, name: string, options: SeriesOptions): ChartData {
  const tracks = metrics.attemptsWithin(name, options);
  const drawn = tracks.map((track) => drawTrack(track, options));
  const newest = drawn[drawn.length - 1];
  if (newest === undefined) return { x: [], lines: [], broken: [] };
  const { hue } = options;
  const tables: Table[] = [{ x: newest.x, columns: newestLines(newest, name, options) }];
  for (const [index, one] of drawn.slice(0, -1).entries()) {
    const label = `${name}, attempt ${(tracks[index]?.attempt ?? 0) + 1}`;
    tables.push({ x: one.x, columns: [{ label, kind: "earlier", hue, values: one.mean }] });
  }
  return { ...align(tables), broken: newest.broken };
}

function newestLines(drawn: Drawable, name: string, { smoothing, hue }: SeriesOptions): Line[] {
  const lines: Line[] = [{ label: name, kind: "raw", hue, values: drawn.mean }];
  if (drawn.merged) {
    lines.unshift(
      { label: `${name} max`, kind: "edge", hue, values: drawn.maximum },
      { label: `${name} min`, kind: "edge", hue, values: drawn.minimum },
    );
  }
  if (smoothing > 0) lines.push({ label: "smoothed", kind: "smooth", hue, values: drawn.smooth });
  return lines;
}

function drawTrack(track: Track, options: SeriesOptions): Drawable {
  const { axis, buckets, smoothing } = options;
  const smoothed = track.smoother.update(track.columns, smoothing);
  return decimate(track.columns, options, buckets, axis.toX, smoothed);
}

/** A number of each epoch, as named lines of points; epochs without it leave a gap. */
export function epochData(
  epochs: EpochData[],
  axis: AxisMap,
  fields: { label: string; hue: number; read: (epoch: EpochData) => number | undefined }[],
): ChartData {
  const newest = newestAttempts(epochs);
  const x = newest.map((epoch) => epochX(epoch, axis));
  const lines = fields.map(({ label, hue, read }): Line => {
    const values = newest.map((epoch) => finite(read(epoch)));
    return { label, kind: "points", hue, values };
  });
  const used = lines.filter((line) => line.values.some((value) => value !== null));
  const broken = x.filter((_, i) =>
    fields.some(({ read }) => {
      const value = newest[i] && read(newest[i]);
      return value !== undefined && !Number.isFinite(value);
    }),
  );
  return { x, lines: used, broken };
}

/** Of epochs trained twice the later attempt counts; in order of their x. */
function newestAttempts(epochs: EpochData[]): EpochData[] {
  const byEpoch = new Map<number, EpochData>();
  for (const epoch of epochs) byEpoch.set(epoch.epoch, epoch);
  const sorted = [...byEpoch.values()].sort((a, b) => a.globalStep - b.globalStep);
  return sorted.filter(
    (epoch, i) => i === 0 || epoch.globalStep > (sorted[i - 1]?.globalStep ?? -1),
  );
}

function epochX(epoch: EpochData, axis: AxisMap): number {
  return axis.kind === "epoch" ? epoch.epoch + 1 : axis.toX(epoch.globalStep, epoch.timestampMs);
}

function finite(value: number | undefined): number | null {
  return value !== undefined && Number.isFinite(value) ? value : null;
}

interface Table {
  x: number[];
  columns: Line[];
}

/** Bring tables over different x to one; what a table lacks is undefined, which breaks no line. */
function align(tables: Table[]): { x: number[]; lines: Line[] } {
  const [only] = tables;
  if (tables.length === 1 && only) return { x: only.x, lines: only.columns };
  const x = [...new Set(tables.flatMap((table) => table.x))].sort((a, b) => a - b);
  const at = new Map(x.map((value, index) => [value, index]));
  const lines = tables.flatMap((table) =>
    table.columns.map((line) => {
      const values: Values = new Array<undefined>(x.length).fill(undefined);
      table.x.forEach((value, i) => {
        values[at.get(value) ?? 0] = line.values[i];
      });
      return { ...line, values };
    }),
  );
  return { x, lines };
}

/** On a logarithmic axis only what is above zero can be drawn. */
export function positiveOnly(values: Values): Values {
  return values.map((value) => (typeof value === "number" && value <= 0 ? null : value));
}
