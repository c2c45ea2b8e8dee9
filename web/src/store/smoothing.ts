import type { Columns } from "./columns";

/**
 * Exponential moving average of a series, debiased (a young average is not pulled to zero, as in
 * Adam) and aware of merged rows: one that stands for n values weighs like n. Not-finite values are
 * passed over. Kept up to date row by row; recomputed only when older rows change.
 */
export class Smoother {
  private out = new Float64Array(64);
  private done = 0;
  private average = 0;
  private mass = 0;
  private epoch = -1;
  private weight = -1;

  /** @param weight how much of the past is kept per value, 0 (none) to below 1. */
  update(columns: Columns, weight: number): Float64Array {
    if (columns.epoch !== this.epoch || weight !== this.weight || columns.length < this.done) {
      this.restart(columns.epoch, weight);
    }
    if (this.out.length < columns.length) this.grow(columns.steps.length);
    for (let i = this.done; i < columns.length; i++) {
      this.out[i] = this.take(columns.values[i] ?? Number.NaN, columns.counts[i] ?? 1);
    }
    this.done = columns.length;
    return this.out;
  }

  private take(value: number, count: number): number {
    if (Number.isFinite(value)) {
      const kept = count === 1 ? this.weight : this.weight ** count;
      this.average = kept * this.average + (1 - kept) * value;
      this.mass = kept * this.mass + (1 - kept);
    }
    return this.mass > 0 ? this.average / this.mass : Number.NaN;
  }

  private restart(epoch: number, weight: number): void {
    this.epoch = epoch;
    this.weight = weight;
    this.done = 0;
    this.average = 0;
    this.mass = 0;
  }

  private grow(length: number): void {
    const larger = new Float64Array(Math.max(length, this.done));
    larger.set(this.out.subarray(0, this.done));
    this.out = larger;
  }
}
