import type { EpochData } from "../rpc/plain";
import type { Columns } from "./columns";

export type AxisKind = "step" | "epoch" | "time";

/** Maps steps to another x axis and back; piecewise linear and monotone. */
export interface AxisMap {
  kind: AxisKind;
  /** From a step and its time (ms since the epoch) to x. */
  toX(step: number, timeMs: number): number;
  /** From x back to the nearest step. */
  toStep(x: number): number;
}

/** The global step itself. */
export const stepAxis: AxisMap = { kind: "step", toX: (step) => step, toStep: (x) => x };

/**
 * Epochs as a number, 1.5 being half way through the second: knots at the epochs that ended, beyond
 * them the declared length of an epoch, else that of the last one.
 */
export function epochAxis(epochs: EpochData[], batchesPerEpoch: number | undefined): AxisMap {
  const knots = epochKnots(epochs);
  const final = knots[knots.length - 1] ?? { step: 0, epoch: 0 };
  const before = knots[knots.length - 2];
  const length =
    batchesPerEpoch || (before ? (final.step - before.step) / (final.epoch - before.epoch) : 1);
  const tail = { step: final.step + length * 1e6, epoch: final.epoch + 1e6 };
  const steps = [...knots.map((knot) => knot.step), tail.step];
  const marks = [...knots.map((knot) => knot.epoch), tail.epoch];
  return {
    kind: "epoch",
    toX: (step) => interpolate(steps, marks, step),
    toStep: (x) => interpolate(marks, steps, x),
  };
}

/** Seconds since the first row of a series; back by the nearest row. */
export function timeAxis(columns: Columns | undefined, startedMs: number): AxisMap {
  const originMs = columns && columns.length > 0 ? (columns.times[0] ?? startedMs) : startedMs;
  return {
    kind: "time",
    toX: (_step, timeMs) => (timeMs - originMs) / 1000,
    toStep: (x) => {
      if (columns === undefined || columns.length === 0) return 0;
      const n = columns.length;
      return interpolate(
        columns.times.subarray(0, n),
        columns.steps.subarray(0, n),
        originMs + x * 1000,
      );
    },
  };
}

function epochKnots(epochs: EpochData[]): { step: number; epoch: number }[] {
  const knots: { step: number; epoch: number }[] = [];
  for (const ended of epochs) {
    const knot = { step: ended.globalStep + 1, epoch: ended.epoch + 1 };
    const last = knots[knots.length - 1];
    if (last === undefined || (knot.step > last.step && knot.epoch > last.epoch)) knots.push(knot);
  }
  const first = knots[0];
  if (first === undefined || first.epoch === 1) knots.unshift({ step: 0, epoch: 0 });
  return knots;
}

/** Piecewise linear through (from, to); beyond the ends along the nearest piece. */
function interpolate(from: ArrayLike<number>, to: ArrayLike<number>, value: number): number {
  const n = from.length;
  if (n === 0) return 0;
  if (n === 1) return to[0] ?? 0;
  let low = 0;
  let high = n - 1;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((from[middle] ?? 0) <= value) low = middle;
    else high = middle;
  }
  const x0 = from[low] ?? 0;
  const x1 = from[high] ?? 0;
  const y0 = to[low] ?? 0;
  const y1 = to[high] ?? 0;
  return x1 === x0 ? y0 : y0 + ((value - x0) / (x1 - x0)) * (y1 - y0);
}
