import { type Columns, greater, lesser } from "./columns";

/** Rows ready to be drawn: aligned arrays over strictly growing x. */
export interface Drawable {
  x: number[];
  /** Mean; null where nothing finite was measured. */
  mean: (number | null)[];
  /** Smoothed mean. */
  smooth: (number | null)[];
  minimum: (number | null)[];
  maximum: (number | null)[];
  /** The x of rows that hold a value that is not finite. */
  broken: number[];
  /** Whether any row stands for more than one value. */
  merged: boolean;
}

export interface Window {
  firstStep: number;
  lastStep: number;
}

/**
 * Thin the rows within a window to about `buckets` at most, each with its exact least, greatest and
 * mean value. One row beyond either edge is kept, so that a line runs to the border.
 *
 * @param xOf maps a row to the x axis: step, epoch or seconds.
 * @param smoothed the smoothed value of each row, aligned with the columns.
 */
export function decimate(
  columns: Columns,
  window: Window,
  buckets: number,
  xOf: (step: number, time: number) => number,
  smoothed: ArrayLike<number>,
): Drawable {
  const first = Math.max(0, columns.lowerBound(window.firstStep) - 1);
  const last = Math.min(columns.length, columns.lowerBound(window.lastStep + 1) + 1);
  const drawable: Drawable = {
    x: [],
    mean: [],
    smooth: [],
    minimum: [],
    maximum: [],
    broken: [],
    merged: false,
  };
  const width = bucketWidth(columns, first, last, buckets);
  for (let from = first; from < last; ) {
    const to = bucketEnd(columns, from, last, width);
    addBucket(drawable, columns, from, to, xOf, smoothed);
    from = to;
  }
  return drawable;
}

/** Steps per bucket: a power of two, so that buckets stay put while a live run grows. */
function bucketWidth(columns: Columns, first: number, last: number, buckets: number): number {
  if (last - first <= buckets) return 0;
  const span = (columns.steps[last - 1] ?? 0) - (columns.steps[first] ?? 0) + 1;
  return 2 ** Math.max(0, Math.ceil(Math.log2(span / Math.max(1, buckets))));
}

function bucketEnd(columns: Columns, from: number, last: number, width: number): number {
  if (width === 0) return from + 1;
  const bucket = Math.floor((columns.steps[from] ?? 0) / width);
  let to = from + 1;
  while (to < last && Math.floor((columns.steps[to] ?? 0) / width) === bucket) to += 1;
  return to;
}

function addBucket(
  out: Drawable,
  columns: Columns,
  from: number,
  to: number,
  xOf: (step: number, time: number) => number,
  smoothed: ArrayLike<number>,
): void {
  const x = xOf(columns.steps[from] ?? 0, columns.times[from] ?? 0);
  const previous = out.x[out.x.length - 1];
  if (!Number.isFinite(x) || (previous !== undefined && x <= previous)) return;
  const sum = summarise(columns, from, to);
  out.merged ||= sum.merged;
  if (sum.broken) out.broken.push(x);
  out.x.push(x);
  out.mean.push(finiteOrNull(sum.total / sum.weight));
  out.smooth.push(sum.weight > 0 ? finiteOrNull(smoothed[to - 1]) : null);
  out.minimum.push(finiteOrNull(sum.minimum));
  out.maximum.push(finiteOrNull(sum.maximum));
}

interface Sum {
  total: number;
  /** How many finite values; 0 leaves the mean undefined. */
  weight: number;
  minimum: number;
  maximum: number;
  merged: boolean;
  /** Whether a value in it is not finite. */
  broken: boolean;
}

/** Total, weight and extremes of some rows; what is not finite is told apart, never averaged. */
function summarise(columns: Columns, from: number, to: number): Sum {
  const sum: Sum = {
    total: 0,
    weight: 0,
    minimum: Number.NaN,
    maximum: Number.NaN,
    merged: to - from > 1,
    broken: false,
  };
  for (let i = from; i < to; i++) {
    const value = columns.values[i] ?? Number.NaN;
    const count = columns.counts[i] ?? 1;
    sum.minimum = lesser(sum.minimum, columns.minimums[i] ?? Number.NaN);
    sum.maximum = greater(sum.maximum, columns.maximums[i] ?? Number.NaN);
    sum.merged ||= count > 1;
    if (Number.isFinite(value)) {
      sum.total += value * count;
      sum.weight += count;
    } else sum.broken = true;
  }
  return sum;
}

function finiteOrNull(value: number | undefined): number | null {
  return value !== undefined && Number.isFinite(value) ? value : null;
}
