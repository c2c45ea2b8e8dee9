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

/** Small: a run may have thousands of series of a few rows each. */
const FIRST_CAPACITY = 64;

/**
 * A series as columns of float64, sorted by step, bounded in rows: when full, neighbours in the older
 * half are merged into exact minimum, maximum and mean, so that no spike is ever lost. Merged rows
 * stand for about as many values each, however old: the whole run keeps its shape.
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

  /** How many values a merged row stands for at most; doubled when that frees too little. */
  private stride = 2;

  /** @param limit most rows held, at least 16; asked anew, as it shrinks while series are added. */
  constructor(private readonly limit: () => number = () => 32_768) {}

  /** Add a row. A step already covered is replaced or, where it was merged, left as it is. */
  add(row: Row): void {
    const last = this.length - 1;
    if (last < 0 || row.step > this.endOf(last)) this.push(row);
    else this.insert(row);
    const limit = this.limit();
    if (this.length > limit) this.compact(limit);
  }

  /** Add every row of a series as it came over the wire. */
  addSeries(series: MetricSeries): void {
    for (let i = 0; i < series.steps.length; i++) this.add(rowOf(series, i));
  }

  /** Take a thinned history for what it covers, and keep only the rows that are newer. */
  adoptHistory(series: MetricSeries): void {
    const before = Array.from({ length: this.length }, (_, i) => this.row(i));
    this.length = 0;
    this.epoch += 1;
    this.addSeries(series);
    const end = this.lastStep();
    for (const row of before) if (row.step > end) this.add(row);
  }

  /** The last step that the rows stand for; −1 where there are none. */
  lastStep(): number {
    return this.length === 0 ? -1 : this.endOf(this.length - 1);
  }

  /** The row that stands for a step, else the one before it; undefined before the first. */
  rowAt(step: number): Row | undefined {
    const after = this.lowerBound(step + 1);
    return after === 0 ? undefined : this.row(after - 1);
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
    const from = this.lowerBound(firstStep);
    if (from > 0 && this.counts[from - 1] !== 1 && this.reaches(from - 1, firstStep)) return false;
    for (let i = from; i < this.length; i++) {
      if ((this.steps[i] ?? 0) > lastStep) break;
      if (this.counts[i] !== 1) return false;
    }
    return true;
  }

  /** Whether a merged row may stand for a step after its first. */
  private reaches(index: number, step: number): boolean {
    return index + 1 < this.length || this.endOf(index) >= step;
  }

  /**
   * The last step a row stands for. Of several values only the first one's step is known: of a
   * series measured at every tenth step, say, the rows before tell the distance.
   */
  private endOf(index: number): number {
    const step = this.steps[index] ?? 0;
    const further = Math.max(1, this.counts[index] ?? 1) - 1;
    if (further === 0 || index === 0) return step + further;
    const distance = (step - (this.steps[index - 1] ?? 0)) / (this.counts[index - 1] ?? 1);
    // An uneven series may be measured at any step: a row too many is better than one too few.
    return step + further * (Number.isInteger(distance) ? distance : 1);
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
    // Between two rows, what lies in the reach of a merged one is in it already.
    if (at > 0 && (this.counts[at - 1] ?? 1) > 1) return;
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

  /** Twice as large, but no larger than can ever be needed. */
  private grow(): void {
    const enough = Math.max(this.length, this.limit()) + 1;
    this.resize(Math.min(this.steps.length * 2, enough));
  }

  private resize(capacity: number): void {
    const moved = (column: Float64Array) => {
      const other = new Float64Array(capacity);
      other.set(column.subarray(0, this.length));
      return other;
    };
    this.steps = moved(this.steps);
    this.times = moved(this.times);
    this.values = moved(this.values);
    this.minimums = moved(this.minimums);
    this.maximums = moved(this.maximums);
    this.counts = moved(this.counts);
  }

  /** Merge neighbours in the older half until there is room again: recent steps stay exact. */
  private compact(limit: number): void {
    const enough = limit - Math.ceil(limit / 8);
    while (this.length > enough) {
      const before = this.length;
      this.mergeNeighbours(this.length >> 1);
      if (before - this.length < limit / 16) this.stride *= 2;
    }
    this.epoch += 1;
    if (this.steps.length > 1.25 * limit) this.resize(Math.max(FIRST_CAPACITY, limit + 1));
  }

  /** Merge rows before an index with their neighbours, as far as the stride allows. */
  private mergeNeighbours(end: number): void {
    let to = 0;
    let current = this.row(0);
    for (let from = 1; from < end; from++) {
      const next = this.row(from);
      if (current.count + next.count <= this.stride) current = mergeRows(current, next);
      else {
        this.write(to++, current);
        current = next;
      }
    }
    this.write(to++, current);
    for (const column of this.columns()) column.copyWithin(to, end, this.length);
    this.length -= end - to;
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

/** The lesser of two, a NaN giving way to a number. */
export function lesser(a: number, b: number): number {
  return Number.isNaN(a) || b < a ? b : a;
}

/** The greater of two, a NaN giving way to a number. */
export function greater(a: number, b: number): number {
  return Number.isNaN(a) || b > a ? b : a;
}
