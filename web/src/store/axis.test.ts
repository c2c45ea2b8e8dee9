import { describe, expect, it } from "vitest";
import { epochAxis, timeAxis } from "./axis";
import { Columns } from "./columns";
import { epochOf } from "./testing";

const ended = (epoch: number, lastStep: number) => epochOf({ epoch, globalStep: BigInt(lastStep) });

describe("epochAxis", () => {
  it("counts whole epochs at their ends and fractions between", () => {
    const axis = epochAxis([ended(0, 99), ended(1, 199)], 100);
    expect(axis.toX(0, 0)).toBe(0);
    expect(axis.toX(50, 0)).toBe(0.5);
    expect(axis.toX(100, 0)).toBe(1);
    expect(axis.toX(250, 0)).toBeCloseTo(2.5, 9);
  });

  it("goes back to the step it came from", () => {
    const axis = epochAxis([ended(0, 9), ended(1, 109)], 100);
    for (const step of [0, 5, 10, 60, 110, 400]) {
      expect(axis.toStep(axis.toX(step, 0))).toBeCloseTo(step, 6);
    }
  });

  it("without a declared length uses that of the last epoch", () => {
    expect(epochAxis([ended(0, 9), ended(1, 29)], undefined).toX(40, 0)).toBeCloseTo(2.5, 9);
  });

  it("of a run resumed at epoch 5 begins there", () => {
    expect(epochAxis([ended(4, 499)], 100).toX(400, 0)).toBeCloseTo(4, 9);
  });
});

describe("timeAxis", () => {
  it("counts seconds from the first row and finds the step again", () => {
    const columns = new Columns();
    for (let step = 0; step < 10; step++) {
      columns.add({ step, time: 5_000 + step * 500, value: 1, minimum: 1, maximum: 1, count: 1 });
    }
    const axis = timeAxis(columns, 0);
    expect(axis.toX(4, 7_000)).toBe(2);
    expect(axis.toStep(2)).toBe(4);
  });
});
