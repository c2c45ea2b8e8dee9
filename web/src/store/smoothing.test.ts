import { describe, expect, it } from "vitest";
import { Columns } from "./columns";
import { Smoother } from "./smoothing";

function columnsOf(values: number[], count = 1): Columns {
  const columns = new Columns();
  values.forEach((value, i) => {
    columns.add({ step: i * count, time: i, value, minimum: value, maximum: value, count });
  });
  return columns;
}

describe("Smoother", () => {
  it("is not pulled to zero at the start", () => {
    const out = new Smoother().update(columnsOf([5, 5, 5]), 0.99);
    for (let i = 0; i < 3; i++) expect(out[i]).toBeCloseTo(5, 12);
  });

  it("with weight 0 is the series itself", () => {
    expect([...new Smoother().update(columnsOf([3, 1, 2]), 0).subarray(0, 3)]).toEqual([3, 1, 2]);
  });

  it("row by row gives what all at once gives", () => {
    const smoother = new Smoother();
    const columns = new Columns();
    const values = [1, 9, 4, 7, 2, 8];
    values.forEach((value, step) => {
      columns.add({ step, time: step, value, minimum: value, maximum: value, count: 1 });
      smoother.update(columns, 0.7);
    });
    const whole = new Smoother().update(columnsOf(values), 0.7);
    expect(smoother.update(columns, 0.7).subarray(0, 6)).toEqual(whole.subarray(0, 6));
  });

  it("passes over what is not finite", () => {
    const out = new Smoother().update(columnsOf([2, Number.NaN, 2]), 0.9);
    expect(out[2]).toBeCloseTo(2, 12);
  });

  it("weighs a merged row like the values it stands for", () => {
    const single = new Smoother().update(columnsOf([4, 0, 0, 0, 0]), 0.8)[4];
    const columns = columnsOf([4]);
    columns.add({ step: 1, time: 1, value: 0, minimum: 0, maximum: 0, count: 4 });
    expect(new Smoother().update(columns, 0.8)[1]).toBeCloseTo(single ?? Number.NaN, 12);
  });
});
