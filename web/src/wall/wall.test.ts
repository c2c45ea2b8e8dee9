import { describe, expect, it } from "vitest";
import { batchOf } from "../store/testing";
import { samplesOf } from "../store/tiles";
import { classColour } from "./colours";
import { contain, GAP, GRID, layOut, planFor } from "./layout";
import { agreementOf, Mask, paintFill, paintOutline } from "./mask";
import { Meter } from "./stats";
import { piecesOf } from "./text";

describe("layOut", () => {
  it("puts sixteen equal tiles within the wall, a square picture over a strip in each", () => {
    for (const [width, height] of [
      [541, 688],
      [366, 516],
      [1001, 1271.3],
    ] as const) {
      const boxes = layOut(width, height);
      expect(boxes).toHaveLength(16);
      expect(new Set(boxes.map(({ tile }) => `${tile.width}×${tile.height}`)).size).toBe(1);
      for (const { tile, picture, strip } of boxes) {
        expect(picture.height).toBe(picture.width);
        expect(strip.y + strip.height).toBe(tile.y + tile.height);
        expect(tile.x + tile.width).toBeLessThanOrEqual(width);
        expect(tile.y + tile.height).toBeLessThanOrEqual(height);
      }
      expect((boxes[1]?.tile.x ?? 0) - (boxes[0]?.tile.width ?? 0)).toBeGreaterThanOrEqual(GAP);
    }
  });
});

describe("contain", () => {
  it("keeps the aspect and centres", () => {
    const box = { x: 10, y: 10, width: 100, height: 100 };
    expect(contain(box, 50, 25)).toEqual({ x: 10, y: 35, width: 100, height: 50 });
  });
});

describe("planFor", () => {
  const texts = (count: number) =>
    samplesOf(batchOf({ texts: Array.from({ length: count }, () => ({ text: "words" })) }));

  it("gives texts lines, the longer the fewer there are, and pictures squares", () => {
    const places = [1, 3, 8, 12].map((count) => {
      const { columns, rows } = planFor(texts(count));
      return [columns, rows];
    });
    expect(places).toEqual([
      [1, 1],
      [1, 4],
      [1, 8],
      [2, 8],
    ]);
    expect(planFor(samplesOf(batchOf({ images: [{}], texts: [{ text: "caption" }] })))).toBe(GRID);
    expect(planFor([])).toBe(GRID);
  });

  it("leaves a line of words under each text", () => {
    const plan = planFor(texts(16));
    for (const { tile, picture, strip } of layOut(541, 688, plan)) {
      expect(strip.y + strip.height).toBe(tile.y + tile.height);
      expect(picture.width).toBe(tile.width);
      expect(picture.height).toBeGreaterThan(40);
    }
  });
});

describe("masks", () => {
  const alphas = (pixels: Uint32Array) =>
    [...new Uint8Array(pixels.buffer)].filter((_, index) => index % 4 === 3);

  it("leave the background and what has no class clear, fill classes, strengthen rims", () => {
    const pixels = new Uint32Array(6);
    paintFill(pixels, Uint8Array.of(0, 2, 2, 2, 2, 255), 6);
    expect(alphas(pixels)).toEqual([0, 225, 120, 120, 225, 0]);
  });

  it("as outlines are light on one side and dark on the other", () => {
    const pixels = new Uint32Array(3);
    paintOutline(pixels, Uint8Array.of(0, 1, 1), 3);
    expect(alphas(pixels)).toEqual([235, 150, 0]);
  });

  it("agree where both are the same, whatever their sizes, and the truth is known", () => {
    const predicted = new Mask(Uint8Array.of(1, 2), 2, 1);
    const truth = new Mask(Uint8Array.of(1, 1, 1, 2, 1, 255, 2, 2), 4, 2);
    expect(agreementOf(predicted, truth)).toBeCloseTo(6 / 7);
    expect(agreementOf(predicted, new Mask(Uint8Array.of(255), 1, 1))).toBeUndefined();
  });

  it("have another colour for each of a hundred classes", () => {
    const colours = Array.from({ length: 100 }, (_, index) => classColour(index).join());
    expect(new Set(colours).size).toBe(100);
  });
});

describe("piecesOf", () => {
  it("gives tokens the heat of their loss, at most 1, and none where they were not scored", () => {
    const tokens = [{ token: "a" }, { token: "b", loss: 3 }, { token: "c", loss: Number.NaN }];
    expect(piecesOf({ text: "", tokens }).map((piece) => piece.heat)).toEqual([undefined, 0.5, 1]);
  });

  it("writes spaces and ends of lines where a tokenizer has signs for them", () => {
    const tokens = ["\u0120the", "\u2581cat", "\u010a"].map((token) => ({ token }));
    const pieces = piecesOf({ text: "", tokens });
    expect(pieces.map((piece) => piece.text)).toEqual([" the", " cat", "\n"]);
  });

  it("splits a text into words that keep their spaces", () => {
    const pieces = piecesOf({ text: "two words\nhere", tokens: [] });
    expect(pieces.map((piece) => piece.text)).toEqual(["two ", "words\n", "here"]);
  });
});

describe("Meter", () => {
  it("counts arrivals, paints and different steps apart", () => {
    let now = 0;
    const meter = new Meter(() => now);
    for (let step = 0; step < 60; step++) {
      now = step * 25;
      meter.arrived(step + 1);
      if (step % 2 === 0) meter.paintedStep(step, 10);
    }
    const stats = meter.refresh();
    expect(stats).toMatchObject({ received: 60, painted: 30, distinctSteps: 30, lastStep: 58 });
    expect(stats.newPerSecond).toBeCloseTo(40, 0);
    expect(stats.paintedPerSecond).toBeCloseTo(20, 0);
    expect(meter.typicalLatencyMs()).toBe(10);
  });

  it("begins anew when the worker counts from the start", () => {
    const meter = new Meter(() => 0);
    meter.arrived(100);
    meter.arrived(2);
    expect(meter.stats.received).toBe(2);
  });
});
