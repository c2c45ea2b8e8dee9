import { describe, expect, it } from "vitest";
import { FrameCache } from "./frames";
import { Spans } from "./spans";
import { batchOf } from "./testing";

const frame = (step: number, bytes = 10) =>
  batchOf({ globalStep: BigInt(step), images: [{ imageBytes: new Uint8Array(bytes) }] });

/** A small generator of its own: the same numbers at every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state % below;
  };
}

describe("Spans", () => {
  it("holds what a plain set holds, whatever is added and removed", () => {
    const draw = numbers(7);
    const spans = new Spans();
    const plain = new Set<number>();
    for (let round = 0; round < 2_000; round++) {
      const first = draw(200);
      if (draw(4) === 0) {
        spans.remove(first);
        plain.delete(first);
      } else {
        const last = first + draw(12) - 1;
        spans.add(first, last);
        for (let value = first; value <= last; value++) plain.add(value);
      }
      const at = draw(200);
      const end = at + draw(6);
      const all = Array.from({ length: end - at + 1 }, (_, i) => plain.has(at + i));
      expect(spans.covers(at, end)).toBe(all.every(Boolean));
      let free = at;
      while (plain.has(free)) free += 1;
      expect(spans.beyond(at, 1)).toBe(free);
    }
  });
});

describe("FrameCache", () => {
  it("never says that a frame is nearest when another is", () => {
    const draw = numbers(3);
    const kept = [0, 100, 130, 131, 400, 950];
    const nearest = (step: number) =>
      kept.reduce((best, at) => (Math.abs(at - step) < Math.abs(best - step) ? at : best));
    const cache = new FrameCache(40_000);
    let known = 0;
    for (let round = 0; round < 3_000; round++) {
      const step = draw(1_000);
      const found = cache.find(step);
      if (found === undefined) cache.put(step, frame(nearest(step)), false);
      else {
        known += 1;
        expect(Math.abs(found.globalStep - step)).toBe(Math.abs(nearest(step) - step));
      }
    }
    expect(known).toBeGreaterThan(2_500);
  });

  it("knows the neighbourhood of an answer without asking again", () => {
    const cache = new FrameCache();
    cache.put(500, frame(520), false);
    for (const step of [500, 510, 520]) expect(cache.find(step)?.globalStep).toBe(520);
    expect(cache.find(480)).toBeUndefined();
    expect(cache.frontier(520, 1)).toBe(521);
    expect(cache.frontier(519, -1)).toBe(480);
  });

  it("concludes nothing where frames may still come", () => {
    const cache = new FrameCache();
    cache.put(1_000, frame(900), true);
    expect(cache.find(900)?.globalStep).toBe(900);
    expect(cache.find(1_000)).toBeUndefined();
  });

  it("stays within its bytes, lets go of what was used longest ago, and asks for it again", () => {
    const cache = new FrameCache(3 * 14_000);
    for (const step of [0, 100, 200, 300]) cache.put(step, frame(step, 10_000), false);
    expect(cache.length).toBe(3);
    expect(cache.find(0)).toBeUndefined();
    cache.find(100);
    cache.put(400, frame(400, 10_000), false);
    expect(cache.find(100)?.globalStep).toBe(100);
    expect(cache.find(200)).toBeUndefined();
  });

  it("keeps the newest frame though it is larger than the limit", () => {
    const cache = new FrameCache(100);
    cache.put(5, frame(5, 5_000), false);
    expect(cache.find(5)?.globalStep).toBe(5);
  });
});
