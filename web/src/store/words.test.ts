import { describe, expect, it } from "vitest";
import { batchOf } from "./testing";
import { type Sample, samplesOf } from "./tiles";
import { agreementWords, predictedWords, spokenWords, trueWords } from "./words";

const NAMES = ["cat", "dog", "owl"];

function sampleOf(init: Parameters<typeof batchOf>[0]): Sample {
  const [sample] = samplesOf(batchOf(init));
  if (sample === undefined) throw new Error("no sample");
  return sample;
}

describe("words for a sample", () => {
  it("never show a class index where a name is known", () => {
    const sample = sampleOf({
      images: [{}],
      predictions: [{ predictedClass: 0 }],
      groundTruth: [{ trueClass: 1 }],
    });
    expect(trueWords(sample, NAMES)).toBe("dog");
    expect(trueWords(sample, [])).toBe("class 1");
    expect(spokenWords(sample, NAMES)).toBe("predicted cat, true dog, wrong");
  });

  it("name the set of several labels, also an empty one", () => {
    const sample = sampleOf({
      images: [{}],
      predictions: [{ predictedClass: 0, values: [0.9, 0.2, 0.6] }],
      groundTruth: [{ trueClass: -1 }],
    });
    expect(predictedWords(sample, NAMES)).toBe("cat, owl");
    expect(trueWords(sample, NAMES)).toBe("none");
  });

  it("tell values with how far they are off", () => {
    const sample = sampleOf({
      predictions: [{ predictedClass: -1, values: [2, 5] }],
      groundTruth: [{ trueClass: -1, values: [2.5, 4] }],
    });
    expect(predictedWords(sample, [])).toBe("2 · 5");
    expect(agreementWords(sample)).toBe("off by 0.7500");
  });

  it("count boxes by what they are of", () => {
    const boxes = ["cat", "cat", "dog"].map((label) => ({ label }));
    const sample = sampleOf({ images: [{}], groundTruth: [{ trueClass: -1, boxes }] });
    expect(trueWords(sample, NAMES)).toBe("3 boxes: 2 cat, dog");
  });

  it("read out a text, what was written and what should have been", () => {
    const sample = sampleOf({
      texts: [{ text: "say hello" }],
      predictions: [{ predictedClass: -1, text: "hallo" }],
      groundTruth: [{ trueClass: -1, text: "hello" }],
    });
    expect(spokenWords(sample, [])).toBe("text “say hello”, predicted hallo, true hello");
  });

  it("tell which part of a mask is right", () => {
    const sample = sampleOf({ images: [{}], groundTruth: [{ trueClass: -1, mask: {} }] });
    expect(spokenWords({ ...sample, agreement: 0.874 }, [])).toBe(
      "true mask, 87 % of pixels agree",
    );
  });
});
