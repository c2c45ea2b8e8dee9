import { describe, expect, it } from "vitest";
import { Easing } from "./easing";

let sentMs = 0;

/** End so many windows, each with pictures of such a delay of which the page took a part. */
function windows(easing: Easing, count: number, delayMs = 20, taken = 60): number[] {
  const changed: number[] = [];
  for (let index = 0; index < count; index++) {
    sentMs += 1000;
    easing.arrived(sentMs, sentMs + delayMs + 400);
    easing.arrived(sentMs, sentMs + delayMs);
    if (easing.endWindow(rate(easing), Math.min(taken, rate(easing)))) changed.push(index);
  }
  return changed;
}

const rate = (easing: Easing) => easing.ease(60, 256)[0];

/** Every level too much, long enough that each is tried as seldom as can be; then the least is asked. */
function worn(): Easing {
  const easing = new Easing();
  windows(easing, 5);
  for (const carried of [30, 15, 7.5, 3.75]) {
    for (let index = 0; index < 400; index++) {
      windows(easing, 1, rate(easing) > carried ? 900 : 20);
    }
  }
  windows(easing, 10, 900);
  expect(rate(easing)).toBe(3.75);
  return easing;
}

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

  it("comes back to the full rate though one window of ten is slow", () => {
    const easing = worn();
    for (let index = 0; index < 300; index++) windows(easing, 1, index % 10 === 9 ? 900 : 20);
    expect(easing.ease(60, 256)).toEqual([60, 256]);
    expect(easing.slow).toBeUndefined();
  });

  it("tries no more while every other window is slow", () => {
    const easing = new Easing();
    windows(easing, 5);
    windows(easing, 4, 900);
    const eased = rate(easing);
    for (let index = 0; index < 100; index++) windows(easing, 1, index % 2 ? 900 : 20);
    expect(rate(easing)).toBe(eased);
  });

  it("forgets that a level was too much once it lasted, whatever the levels above it", () => {
    const easing = worn();
    const carried = () => (rate(easing) > 15 ? 900 : 20);
    for (let index = 0; index < 200; index++) windows(easing, 1, carried());
    windows(easing, 10, 900);
    let waited = 0;
    while (rate(easing) < 15) {
      windows(easing, 1);
      waited += 1;
    }
    // Four levels, of three quick windows and a rest each.
    expect(waited).toBeLessThan(20);
  });

  it("takes no clock that is set back for a slow link", () => {
    const easing = new Easing();
    windows(easing, 30);
    sentMs -= 3_000;
    expect(windows(easing, 100, 2_020)).toEqual([]);
    // The new delay is what the link can do: more than that is slow.
    windows(easing, 3, 2_900);
    expect(easing.slow).toBe("link");
  });

  it("says at the last level, too, why it asks for less", () => {
    const easing = new Easing();
    windows(easing, 5);
    windows(easing, 40, 20, 1);
    expect(easing.slow).toBe("page");
    expect(windows(easing, 5, 900, 1)).toEqual([0]);
    expect(easing.slow).toBe("link");
    expect(rate(easing)).toBe(3.75);
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
