import { describe, expect, it } from "vitest";
import { colourMask } from "./art";
import { contain, GAP, layOut } from "./layout";
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

describe("colourMask", () => {
  it("leaves the background clear and fills classes", () => {
    const data = new Uint8ClampedArray([0, 0, 0, 255, 0, 0, 0, 255, 2, 2, 2, 255, 2, 2, 2, 255]);
    colourMask(data, 2, 2, false);
    expect(data[7]).toBe(0);
    expect(data[11]).toBe(120);
    expect(data[15]).toBe(120);
  });

  it("as an outline draws only where classes meet", () => {
    const data = new Uint8ClampedArray(3 * 4);
    data[8] = 1;
    colourMask(data, 3, 1, true);
    expect([data[3], data[7], data[11]]).toEqual([0, 230, 0]);
  });
});

describe("piecesOf", () => {
  it("gives tokens the heat of their loss, at most 1, and none where they were not scored", () => {
    const tokens = [{ token: "a" }, { token: "b", loss: 3 }, { token: "c", loss: Number.NaN }];
    expect(piecesOf({ text: "", tokens }).map((piece) => piece.heat)).toEqual([undefined, 0.5, 1]);
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
