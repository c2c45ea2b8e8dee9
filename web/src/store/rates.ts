/** Events per second, from when they happened; bounded memory, no timers. */
export class RateMeter {
  private readonly times: Float64Array;
  private next = 0;
  private filled = 0;

  /** @param capacity events remembered; enough for two seconds at the greatest rate. */
  constructor(capacity = 256) {
    this.times = new Float64Array(capacity);
  }

  /** Record one event at `nowMs` of any steady clock. */
  mark(nowMs: number): void {
    this.times[this.next] = nowMs;
    this.next = (this.next + 1) % this.times.length;
    this.filled = Math.min(this.filled + 1, this.times.length);
  }

  /**
   * Events per second over the last second and a half. The window is longer than a second so that
   * a steady 60 does not read as 59, 60, 61 in turn; silence of more than that reads 0.
   */
  rate(nowMs: number): number {
    const windowMs = 1_500;
    let oldest = Number.POSITIVE_INFINITY;
    let newest = Number.NEGATIVE_INFINITY;
    let count = 0;
    for (let i = 0; i < this.filled; i++) {
      const time = this.times[i] ?? 0;
      if (nowMs - time > windowMs) continue;
      count += 1;
      oldest = Math.min(oldest, time);
      newest = Math.max(newest, time);
    }
    if (count < 2) return count === 0 ? 0 : 1000 / windowMs;
    const span = Math.max(newest - oldest, nowMs - oldest - (newest - oldest) / (count - 1));
    return ((count - 1) * 1000) / Math.max(span, 1);
  }
}

/** The last moments something happened, for a benchmark to read. */
export class MomentRing {
  private readonly times: number[] = [];

  constructor(private readonly capacity = 1_200) {}

  /** Record a moment, in ms. */
  push(ms: number): void {
    this.times.push(ms);
    if (this.times.length > this.capacity) this.times.splice(0, this.times.length - this.capacity);
  }

  /** Oldest first. */
  list(): number[] {
    return this.times;
  }
}
