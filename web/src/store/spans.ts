/** A set of whole numbers as sorted, disjoint spans; both ends of a span belong to it. */
export class Spans {
  private readonly firsts: number[] = [];
  private readonly lasts: number[] = [];

  get size(): number {
    return this.firsts.length;
  }

  /** Add every number from `first` to `last`; nothing where `last` is less. */
  add(first: number, last: number): void {
    if (last < first) return;
    // Spans that touch or overlap become one: those whose end is at `first - 1` or beyond.
    const from = lowerBound(this.lasts, first - 1);
    let to = from;
    let low = first;
    let high = last;
    while (to < this.firsts.length && (this.firsts[to] ?? 0) <= last + 1) {
      low = Math.min(low, this.firsts[to] ?? low);
      high = Math.max(high, this.lasts[to] ?? high);
      to += 1;
    }
    this.firsts.splice(from, to - from, low);
    this.lasts.splice(from, to - from, high);
  }

  /** Take one number out. */
  remove(value: number): void {
    const at = lowerBound(this.lasts, value);
    const first = this.firsts[at];
    const last = this.lasts[at];
    if (first === undefined || last === undefined || first > value) return;
    this.firsts.splice(at, 1);
    this.lasts.splice(at, 1);
    this.add(first, value - 1);
    this.add(value + 1, last);
  }

  /** Whether every number from `first` to `last` belongs to it; true of an empty range. */
  covers(first: number, last: number): boolean {
    if (last < first) return true;
    const at = lowerBound(this.lasts, last);
    return (this.firsts[at] ?? Number.POSITIVE_INFINITY) <= first;
  }

  /** The first number from `value` on, upwards or downwards, that does not belong to it. */
  beyond(value: number, direction: 1 | -1): number {
    const at = lowerBound(this.lasts, value);
    const first = this.firsts[at];
    const last = this.lasts[at];
    if (first === undefined || last === undefined || first > value) return value;
    return direction > 0 ? last + 1 : first - 1;
  }

  clear(): void {
    this.firsts.length = 0;
    this.lasts.length = 0;
  }
}

/** Index of the first of some sorted numbers that is at least `value`. */
function lowerBound(sorted: number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
