import { describe, expect, it } from "vitest";
import { Columns, mergeRows, type Row } from "./columns";
import { seriesOf } from "./testing";

const row = (step: number, value: number): Row => ({
  step,
  time: step * 10,
  value,
  minimum: value,
  maximum: value,
  count: 1,
});

describe("Columns", () => {
  it("keeps rows in order of their steps, whichever way they come", () => {
    const columns = new Columns();
    for (const step of [1, 2, 5, 3, 4, 0]) columns.add(row(step, step));
    expect([...columns.steps.subarray(0, columns.length)]).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it("replaces a row of the same step", () => {
    const columns = new Columns();
    columns.add(row(1, 5));
    columns.add(row(2, 6));
    columns.add(row(1, 7));
    expect(columns.length).toBe(2);
    expect(columns.values[0]).toBe(7);
  });

  it("does not add a single value that a merged row already covers", () => {
    const columns = new Columns();
    columns.add({ step: 0, time: 0, value: 1, minimum: 0, maximum: 2, count: 8 });
    columns.add(row(3, 99));
    expect(columns.length).toBe(1);
  });

  it("stays below its limit and keeps every extreme, the count and the mean", () => {
    const columns = new Columns(() => 64);
    let total = 0;
    for (let step = 0; step < 10_000; step++) {
      const value = step === 1_234 ? 1_000 : step === 4_321 ? -1_000 : Math.sin(step);
      total += value;
      columns.add(row(step, value));
    }
    const rows = Array.from({ length: columns.length }, (_, i) => columns.row(i));
    expect(columns.length).toBeLessThanOrEqual(64);
    expect(Math.max(...rows.map((one) => one.maximum))).toBe(1_000);
    expect(Math.min(...rows.map((one) => one.minimum))).toBe(-1_000);
    expect(rows.reduce((sum, one) => sum + one.count, 0)).toBe(10_000);
    const mean = rows.reduce((sum, one) => sum + one.value * one.count, 0) / 10_000;
    expect(mean).toBeCloseTo(total / 10_000, 9);
  });

  it("keeps the shape of the whole run: no old row stands for much more than another", () => {
    const columns = new Columns(() => 64);
    for (let step = 0; step < 100_000; step++) columns.add(row(step, step));
    const counts = [...columns.counts.subarray(0, columns.length)];
    expect(Math.max(...counts)).toBeLessThanOrEqual(100_000 / 8);
    expect(columns.lastStep()).toBe(99_999);
  });

  it("shrinks when its limit does", () => {
    let limit = 1_000;
    const columns = new Columns(() => limit);
    for (let step = 0; step < 1_000; step++) columns.add(row(step, step));
    limit = 32;
    columns.add(row(1_000, 0));
    expect(columns.length).toBeLessThanOrEqual(32);
    expect(columns.steps.length).toBeLessThanOrEqual(128);
    const counts = [...columns.counts.subarray(0, columns.length)];
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(1_001);
  });

  it("takes no row twice of a series that is measured at every tenth step", () => {
    const columns = new Columns();
    const merged = { steps: [0, 80], times: [0, 800], values: [1, 1] };
    const extremes = { minimums: [1, 1], maximums: [1, 1], counts: [8, 4] };
    columns.adoptHistory(seriesOf("loss", { ...merged, ...extremes }));
    for (const step of [50, 90, 110]) columns.add(row(step, 9));
    expect(columns.length).toBe(2);
    columns.add(row(120, 9));
    expect(columns.length).toBe(3);
  });

  it("finds the row that stands for a step", () => {
    const columns = new Columns();
    columns.add({ step: 10, time: 0, value: 1, minimum: 0, maximum: 2, count: 8 });
    columns.add(row(18, 5));
    expect(columns.rowAt(9)).toBeUndefined();
    expect(columns.rowAt(15)?.count).toBe(8);
    expect(columns.rowAt(18)?.value).toBe(5);
  });

  it("keeps the newest half exact when it merges", () => {
    const columns = new Columns(() => 64);
    for (let step = 0; step < 65; step++) columns.add(row(step, step));
    expect(columns.isExact(40, 64)).toBe(true);
    expect(columns.isExact(0, 10)).toBe(false);
  });

  it("grows past its first capacity", () => {
    const columns = new Columns();
    for (let step = 0; step < 5_000; step++) columns.add(row(step, step));
    expect(columns.length).toBe(5_000);
    expect(columns.values[4_999]).toBe(4_999);
  });

  it("takes a history for what it covers and keeps the live rows after it", () => {
    const columns = new Columns();
    for (let step = 90; step < 110; step++) columns.add(row(step, step));
    const merged = { steps: [0, 50], times: [0, 500], values: [25, 75] };
    columns.adoptHistory(
      seriesOf("loss", { ...merged, minimums: [0, 50], maximums: [49, 99], counts: [50, 50] }),
    );
    const steps = [...columns.steps.subarray(0, columns.length)];
    expect(steps).toEqual([0, 50, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109]);
  });

  it("an empty history loses nothing that came live", () => {
    const columns = new Columns();
    columns.add(row(3, 1));
    columns.adoptHistory(seriesOf("loss", { steps: [], times: [], values: [] }));
    expect(columns.length).toBe(1);
  });
});

describe("mergeRows", () => {
  it("never lets a NaN hide a finite extreme or spoil the mean", () => {
    const merged = mergeRows(row(0, Number.NaN), row(1, 4));
    expect(merged).toMatchObject({ value: 4, minimum: 4, maximum: 4, count: 2 });
  });

  it("says NaN where nothing is finite", () => {
    expect(mergeRows(row(0, Number.NaN), row(1, Number.NaN)).value).toBeNaN();
  });
});
