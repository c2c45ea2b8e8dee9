import type { MetricSeries } from "../rpc/plain";

/** One row of a series: a single value, or several merged with their exact extremes. */
export interface Row {
  step: number;
  /** ms since the epoch, the trainer's clock. */
  time: number;
  /** The value, or the mean of the finite values merged. */
  value: number;
  minimum: number;
  maximum: number;
  /** Values merged; 1 for a single one. */
  count: number;
}

const FIRST_CAPACITY = 1_024;

/**
 * A series as columns of float64, sorted by step, bounded in rows: when full, the older half is
 * merged pair by pair into exact minimum, maximum and mean, so that no spike is ever lost.
 */
export class Columns {
  steps = new Float64Array(FIRST_CAPACITY);
  times = new Float64Array(FIRST_CAPACITY);
  values = new Float64Array(FIRST_CAPACITY);
  minimums = new Float64Array(FIRST_CAPACITY);
  maximums = new Float64Array(FIRST_CAPACITY);
  counts = new Float64Array(FIRST_CAPACITY);
  length = 0;
  /** Changes whenever rows already there change, so that what was derived from them is stale. */
  epoch = 0;

  /** @param limit most rows held; at least 4. */
  constructor(private readonly limit = 32_768) {}

  /** Add a row. A step already covered is replaced or, where it was merged, left as it is. */
  add(row: Row): void {
    const last = this.length - 1;
    if (last < 0 || row.step > this.endOf(last)) this.push(row);
    else this.insert(row);
    if (this.length > this.limit) this.compact();
  }

  /** Add every row of a series as it came over the wire. */
  addSeries(series: MetricSeries): void {
    for (let i = 0; i < series.steps.length; i++) this.add(rowOf(series, i));
  }

  /** Take a thinned history for what it covers, and keep only the rows that are newer. */
  adoptHistory(series: MetricSeries): void {
    const newer: Row[] = [];
    const lastIndex = series.steps.length - 1;
    const end = lastIndex < 0 ? -1 : endStep(rowOf(series, lastIndex));
    for (let i = 0; i < this.length; i++) if ((this.steps[i] ?? 0) > end) newer.push(this.row(i));
    this.length = 0;
    this.epoch += 1;
    this.addSeries(series);
    for (const row of newer) this.add(row);
  }

  /** The row at an index, which must be below `length`. */
  row(index: number): Row {
    return {
      step: this.steps[index] ?? Number.NaN,
      time: this.times[index] ?? Number.NaN,
      value: this.values[index] ?? Number.NaN,
      minimum: this.minimums[index] ?? Number.NaN,
      maximum: this.maximums[index] ?? Number.NaN,
      count: this.counts[index] ?? 1,
    };
  }

  /** Index of the first row whose step is at least `step`; `length` when there is none. */
  lowerBound(step: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.steps[middle] ?? 0) < step) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Whether every row from one step to another stands for a single value. */
  isExact(firstStep: number, lastStep: number): boolean {
    for (let i = this.lowerBound(firstStep); i < this.length; i++) {
      if ((this.steps[i] ?? 0) > lastStep) break;
      if (this.counts[i] !== 1) return false;
    }
    return true;
  }

  private endOf(index: number): number {
    return (this.steps[index] ?? 0) + Math.max(1, this.counts[index] ?? 1) - 1;
  }

  private push(row: Row): void {
    if (this.length === this.steps.length) this.grow();
    this.write(this.length, row);
    this.length += 1;
  }

  private insert(row: Row): void {
    const at = this.lowerBound(row.step);
    const same = at < this.length && this.steps[at] === row.step;
    if (same) {
      if (row.count >= (this.counts[at] ?? 1)) this.overwrite(at, row);
      return;
    }
    if (at > 0 && row.step <= this.endOf(at - 1)) return;
    if (this.length === this.steps.length) this.grow();
    for (const column of this.columns()) column.copyWithin(at + 1, at, this.length);
    this.length += 1;
    this.overwrite(at, row);
  }

  private overwrite(index: number, row: Row): void {
    this.write(index, row);
    this.epoch += 1;
  }

  private write(index: number, row: Row): void {
    this.steps[index] = row.step;
    this.times[index] = row.time;
    this.values[index] = row.value;
    this.minimums[index] = row.minimum;
    this.maximums[index] = row.maximum;
    this.counts[index] = row.count;
  }

  private columns(): Float64Array[] {
    return [this.steps, this.times, this.values, this.minimums, this.maximums, this.counts];
  }

  private grow(): void {
    const enlarge = (column: Float64Array) => {
      const larger = new Float64Array(column.length * 2);
      larger.set(column);
      return larger;
    };
    this.steps = enlarge(this.steps);
    this.times = enlarge(this.times);
    this.values = enlarge(this.values);
    this.minimums = enlarge(this.minimums);
    this.maximums = enlarge(this.maximums);
    this.counts = enlarge(this.counts);
  }

  /** Merge the older half pair by pair: recent steps stay exact. */
  private compact(): void {
    const half = (this.length >> 2) << 1;
    let to = 0;
    for (let from = 0; from < half; from += 2) {
      this.write(to, mergeRows(this.row(from), this.row(from + 1)));
      to += 1;
    }
    for (const column of this.columns()) column.copyWithin(to, half, this.length);
    this.length -= half - to;
    this.epoch += 1;
  }
}

/** Two neighbouring rows as one; not-finite values count but never hide finite extremes. */
export function mergeRows(first: Row, second: Row): Row {
  const count = first.count + second.count;
  const finite = [first, second].filter((row) => Number.isFinite(row.value));
  const weight = finite.reduce((sum, row) => sum + row.count, 0);
  const total = finite.reduce((sum, row) => sum + row.value * row.count, 0);
  return {
    step: first.step,
    time: first.time,
    value: weight > 0 ? total / weight : first.value,
    minimum: lesser(first.minimum, second.minimum),
    maximum: greater(first.maximum, second.maximum),
    count,
  };
}

/** One row of a series on the wire; the last three arrays are empty until rows are merged. */
export function rowOf(series: MetricSeries, index: number): Row {
  const value = series.values[index] ?? Number.NaN;
  return {
    step: series.steps[index] ?? Number.NaN,
    time: series.times[index] ?? Number.NaN,
    value,
    minimum: series.minimums[index] ?? value,
    maximum: series.maximums[index] ?? value,
    count: series.counts[index] ?? 1,
  };
}

function endStep(row: Row): number {
  return row.step + Math.max(1, row.count) - 1;
}

/** The lesser of two, a NaN giving way to a number. */
export function lesser(a: number, b: number): number {
  return Number.isNaN(a) || b < a ? b : a;
}

/** The greater of two, a NaN giving way to a number. */
export function greater(a: number, b: number): number {
  return Number.isNaN(a) || b > a ? b : a;
}
