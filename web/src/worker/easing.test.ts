import { describe, expect, it } from "vitest";
import { Easing } from "./easing";

/** End so many windows, each with pictures of such a delay of which the page took a part. */
function windows(easing: Easing, count: number, delayMs = 20, taken = 60): number[] {
  const changed: number[] = [];
  for (let index = 0; index < count; index++) {
    easing.arrived(delayMs + 400);
    easing.arrived(delayMs);
    if (easing.endWindow(rate(easing), Math.min(taken, rate(easing)))) changed.push(index);
  }
  return changed;
}

const rate = (easing: Easing) => easing.ease(60, 256)[0];

describe("Easing", () => {
  it("asks for all that is wanted while pictures are quick and taken", () => {
    const easing = new Easing();
    expect(windows(easing, 100)).toEqual([]);
    expect(easing.ease(60, 256)).toEqual([60, 256]);
    expect(easing.slow).toBeUndefined();
  });

  it("asks for fewer, then for smaller ones, while even the quickest is held back", () => {
    const easing = new Easing();
    windows(easing, 5);
    const asked: [number, number][] = [];
    for (let index = 0; index < 40; index++) {
      if (windows(easing, 1, 900).length > 0) asked.push(easing.ease(60, 256));
    }
    expect(asked).toEqual([
      [30, 256],
      [15, 256],
      [15, 128],
      [7.5, 128],
      [7.5, 64],
      [3.75, 64],
    ]);
    expect(easing.slow).toBe("link");
  });

  it("comes back step by step once the link is quick again", () => {
    const easing = new Easing();
    windows(easing, 5);
    windows(easing, 20, 900);
    expect(rate(easing)).toBeLessThan(10);
    windows(easing, 60);
    expect(easing.ease(60, 256)).toEqual([60, 256]);
    expect(easing.slow).toBeUndefined();
  });

  it("takes no single slow window for a slow link", () => {
    const easing = new Easing();
    for (let index = 0; index < 20; index++) windows(easing, 1, index % 2 ? 900 : 20);
    expect(rate(easing)).toBe(60);
  });

  it("asks a slow page for less, and says that it is the page", () => {
    const easing = new Easing();
    windows(easing, 3, 20, 25);
    expect(easing.slow).toBe("page");
    expect(rate(easing)).toBe(30);
  });

  it("takes a page that takes nothing for a frozen one", () => {
    const easing = new Easing();
    expect(windows(easing, 20, 20, 0)).toEqual([]);
  });

  it("tries more the more seldom the oftener it was too much", () => {
    const easing = new Easing();
    const raised: number[] = [];
    for (let index = 0; index < 300; index++) {
      // The page takes 40 at most.
      const before = rate(easing);
      windows(easing, 1, 20, 40);
      if (rate(easing) > before) raised.push(index);
    }
    const waits = raised.slice(1).map((at, index) => at - (raised[index] ?? 0));
    expect(waits.length).toBeGreaterThan(3);
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
    expect(Math.max(...waits)).toBeGreaterThan(30);
  });

  it("judges nothing in a window in which no picture came", () => {
    const easing = new Easing();
    windows(easing, 5);
    windows(easing, 4, 900);
    const eased = rate(easing);
    expect(eased).toBeLessThan(60);
    for (let index = 0; index < 50; index++) expect(easing.endWindow(60, 60)).toBe(false);
    expect(rate(easing)).toBe(eased);
  });
});
