import { describe, expect, it } from "vitest";
import { Waiting } from "./waiting";

const FRAME_MS = 16;

/** Show frames, so long before each of which so many items come; returns what each showed. */
function frames(arrivals: number[], beforeMs = FRAME_MS / 2): number[][] {
  let nowMs = 0;
  const waiting = new Waiting<number>(() => nowMs);
  let count = 0;
  return arrivals.map((coming, frame) => {
    nowMs = (frame + 1) * FRAME_MS - beforeMs;
    for (let i = 0; i < coming; i++) waiting.push(count++);
    nowMs += beforeMs;
    return waiting.due();
  });
}

/** Frames of one item each, but for some. */
function steady(length: number, others: Record<number, number>): number[] {
  return Array.from({ length }, (_, frame) => others[frame] ?? 1);
}

function counted(length: number): number[] {
  return Array.from({ length }, (_, item) => item);
}

describe("Waiting", () => {
  it("lets go of what stood for a while after a frame that was missed", () => {
    const shown = frames(steady(120, { 20: 2 }));
    expect(shown.flat()).toEqual(counted(121));
    expect(shown.flatMap((items, frame) => (items.length === 2 ? [frame] : []))).toEqual([60]);
    expect(shown.at(-1)).toEqual([120]); // what came before this very frame
  });

  it("keeps what fills a gap now and then", () => {
    const shown = frames(steady(120, { 10: 2, 40: 0, 50: 2, 85: 0, 90: 2, 119: 0 }));
    expect(shown.every((items) => items.length === 1)).toBe(true);
  });

  it("keeps what waits while each comes so late that its own frame would miss it", () => {
    const shown = frames(steady(200, { 20: 2 }), 2);
    expect(shown.every((items) => items.length === 1)).toBe(true);
    expect(shown.at(-1)).toEqual([199]);
  });

  it("takes one from many that stand, again and again, until none does", () => {
    const shown = frames(steady(200, { 0: 3 }));
    expect(shown.flat()).toEqual(counted(202));
    expect(shown.filter((items) => items.length === 2)).toHaveLength(2);
    expect(shown.at(-1)).toEqual([201]);
  });

  it("shows nothing where nothing came", () => {
    expect(frames([0, 0, 1, 0])).toEqual([[], [], [0], []]);
  });

  it("counts anew once it was emptied", () => {
    let nowMs = 0;
    const waiting = new Waiting<number>(() => nowMs);
    const fill = () => {
      waiting.push(0);
      nowMs += FRAME_MS;
    };
    fill();
    for (let frame = 0; frame < 39; frame++) {
      fill();
      waiting.due();
    }
    expect(waiting.drain()).toEqual([0]);
    expect(waiting.due()).toEqual([]);
    fill();
    for (let frame = 0; frame < 39; frame++) {
      fill();
      expect(waiting.due()).toHaveLength(1);
    }
  });
});
