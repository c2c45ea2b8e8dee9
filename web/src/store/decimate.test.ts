import { describe, expect, it } from "vitest";
import { Columns } from "./columns";
import { decimate } from "./decimate";
import { Smoother } from "./smoothing";

const byStep = (step: number) => step;

function filled(count: number, valueAt: (step: number) => number): Columns {
  const columns = new Columns();
  for (let step = 0; step < count; step++) {
    const value = valueAt(step);
    columns.add({ step, time: step, value, minimum: value, maximum: value, count: 1 });
  }
  return columns;
}

function thin(columns: Columns, firstStep: number, lastStep: number, buckets: number) {
  const smoothed = new Smoother().update(columns, 0.9);
  return decimate(columns, { firstStep, lastStep }, buckets, byStep, smoothed);
}

describe("decimate", () => {
  it("leaves few rows as they are", () => {
    const drawn = thin(
      filled(5, (step) => step),
      0,
      4,
      100,
    );
    expect(drawn.x).toEqual([0, 1, 2, 3, 4]);
    expect(drawn.mean).toEqual([0, 1, 2, 3, 4]);
    expect(drawn.merged).toBe(false);
  });

  it("keeps every extreme of many rows and does not exceed its buckets", () => {
    const drawn = thin(
      filled(20_000, (step) => (step === 7_777 ? 50 : 1)),
      0,
      19_999,
      500,
    );
    expect(drawn.x.length).toBeLessThanOrEqual(501);
    expect(Math.max(...drawn.maximum.map((value) => value ?? 0))).toBe(50);
    expect(drawn.merged).toBe(true);
  });

  it("keeps its buckets where they are while a run grows", () => {
    const before = thin(
      filled(10_000, (step) => step),
      0,
      9_999,
      1_000,
    );
    const after = thin(
      filled(10_100, (step) => step),
      0,
      10_099,
      1_000,
    );
    expect(after.x.slice(0, 500)).toEqual(before.x.slice(0, 500));
    expect(after.mean.slice(0, 500)).toEqual(before.mean.slice(0, 500));
  });

  it("tells values that are not finite apart and leaves a gap", () => {
    const drawn = thin(
      filled(4, (step) => (step === 2 ? Number.NaN : step)),
      0,
      3,
      100,
    );
    expect(drawn.mean).toEqual([0, 1, null, 3]);
    expect(drawn.smooth[2]).toBeNull();
    expect(drawn.broken).toEqual([2]);
  });

  it("finds a NaN among finite values of the same bucket", () => {
    const columns = filled(4_000, (step) => (step === 1_501 ? Number.POSITIVE_INFINITY : 1));
    const drawn = thin(columns, 0, 3_999, 100);
    expect(drawn.broken).toHaveLength(1);
    expect(drawn.mean.every((value) => value === 1)).toBe(true);
  });

  it("keeps one row beyond either edge of the window", () => {
    expect(
      thin(
        filled(100, (step) => step),
        10,
        20,
        1_000,
      ).x,
    ).toEqual([9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]);
  });
});
