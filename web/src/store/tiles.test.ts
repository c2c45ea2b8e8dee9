import { describe, expect, it } from "vitest";
import { batchOf } from "./testing";
import { nextOverlay, samplesOf, TILES, verdictOf, Wall } from "./tiles";

const batch = (step: number, predicted: number[], truths: number[], losses: number[] = []) =>
  batchOf({
    globalStep: BigInt(step),
    images: predicted.map(() => ({ format: "jpeg" })),
    predictions: predicted.map((predictedClass) => ({ predictedClass })),
    groundTruth: truths.map((trueClass) => ({ trueClass })),
    sampleLosses: losses,
  });

const steps = (wall: Wall, wrongOnly: boolean, sortByLoss = false) =>
  wall.slots({ wrongOnly, sortByLoss }).map((slot) => slot?.step);

describe("samplesOf", () => {
  it("tells right from wrong, and neither where there is no class", () => {
    const samples = samplesOf(batch(1, [1, 2, -1], [1, 3, 0]));
    expect(samples.map((one) => one.verdict)).toEqual(["right", "wrong", "unknown"]);
  });

  it("shows texts where there are no pictures, and predictions where there is neither", () => {
    const texts = batchOf({ texts: [{ text: "a" }, { text: "b" }] });
    expect(samplesOf(texts).map((one) => one.text?.text)).toEqual(["a", "b"]);
    expect(samplesOf(batchOf({ predictions: [{ values: [1] }] }))).toHaveLength(1);
  });

  it("takes at most sixteen", () => {
    const many = Array.from({ length: 40 }, () => ({}));
    expect(samplesOf(batchOf({ images: many }))).toHaveLength(TILES);
  });

  it("gives gathered samples their own steps", () => {
    const gathered = batchOf({ globalStep: 9n, images: [{}, {}], sampleSteps: [7, 8] });
    expect(samplesOf(gathered).map((one) => one.step)).toEqual([7, 8]);
  });

  it("reads a NaN loss as unknown", () => {
    expect(samplesOf(batch(1, [1], [1], [Number.NaN]))[0]?.loss).toBeUndefined();
  });
});

describe("verdictOf", () => {
  it("of several labels compares the whole set", () => {
    const one = samplesOf(
      batchOf({
        images: [{}, {}],
        predictions: [{ values: [0.9, 0.1, 0.6] }, { values: [0.9, 0.1, 0.6] }],
        groundTruth: [
          { trueClass: -1, trueClasses: [2, 0] },
          { trueClass: -1, trueClasses: [0] },
        ],
      }),
    );
    expect(one.map((sample) => verdictOf(sample.prediction, sample.truth))).toEqual([
      "right",
      "wrong",
    ]);
  });

  it("of several labels none may be true, and one without a value cannot be judged", () => {
    const [none, far] = samplesOf(
      batchOf({
        images: [{}, {}],
        predictions: [{ values: [0.1, 0.2] }, { values: [0.1, 0.2] }],
        groundTruth: [{ trueClass: -1 }, { trueClass: -1, trueClasses: [400] }],
      }),
    );
    expect([none?.verdict, far?.verdict]).toEqual(["right", "unknown"]);
  });
});

describe("Wall", () => {
  it("leaves places empty where there are fewer than sixteen", () => {
    const wall = new Wall();
    wall.take(samplesOf(batch(1, [1, 1, 1], [1, 1, 1])));
    expect(steps(wall, false).filter((step) => step !== undefined)).toHaveLength(3);
  });

  it("keeps a wrong sample in its place until sixteen newer ones have come", () => {
    const wall = new Wall();
    for (let step = 0; step < 17; step++) wall.take(samplesOf(batch(step, [1, 0], [1, 1])));
    expect(steps(wall, true)).toEqual([16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
  });

  it("a batch without mistakes leaves the wrong ones as they stand", () => {
    const wall = new Wall();
    wall.take(samplesOf(batch(1, [0], [1])));
    wall.take(samplesOf(batch(2, [1], [1])));
    expect(steps(wall, true)[0]).toBe(1);
  });

  it("sorts by loss, the greatest first, unknown ones after, empty places last", () => {
    const wall = new Wall();
    wall.take(samplesOf(batch(1, [1, 1, 1], [1, 1, 1], [0.5, Number.NaN, 3])));
    const losses = wall.slots({ wrongOnly: false, sortByLoss: true }).map((slot) => slot?.loss);
    expect(losses.slice(0, 4)).toEqual([3, 0.5, undefined, undefined]);
    expect(wall.slots({ wrongOnly: false, sortByLoss: true })[2]).toBeDefined();
  });

  it("holds on to what may still be shown, and to nothing else", () => {
    const wall = new Wall();
    wall.take(samplesOf(batch(1, [0, 1], [1, 1])));
    wall.take(samplesOf(batch(2, [1], [1])));
    expect([...wall.held()].sort()).toEqual(["0:1:0", "0:2:0"]);
  });
});

describe("nextOverlay", () => {
  it("goes round", () => {
    const seen = [nextOverlay("both"), nextOverlay("predicted"), nextOverlay("none")];
    expect(seen).toEqual(["predicted", "true", "both"]);
  });
});
