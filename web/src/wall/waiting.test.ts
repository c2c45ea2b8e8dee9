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
    return waiting.length > 0 ? waiting.due() : []; // as the player does
  });
}

/** Frames of one item each, but for some. */
function steady(length: number, others: Record<number, number>): number[] {
  return Array.from({ length }, (_, frame) => others[frame] ?? 1);
}

/** At which frames one was let go. */
function letGoAt(shown: number[][]): number[] {
  return shown.flatMap((items, frame) => (items.length === 2 ? [frame] : []));
}

function counted(length: number): number[] {
  return Array.from({ length }, (_, item) => item);
}

describe("Waiting", () => {
  it("lets go of what stood for a while after a frame that was missed", () => {
    const shown = frames(steady(120, { 20: 2 }));
    expect(shown.flat()).toEqual(counted(121));
    expect(letGoAt(shown)).toEqual([60]);
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

  it("takes one from many that stand, and then another", () => {
    const shown = frames(steady(300, { 0: 3 }));
    expect(shown.flat()).toEqual(counted(302));
    expect(letGoAt(shown)).toEqual([40, 81]);
    expect(shown.at(-1)).toEqual([301]);
  });

  it("lets go of few where a source stumbles again and again", () => {
    for (const every of [45, 60, 90, 150]) {
      const stumbles: Record<number, number> = {};
      for (let frame = every; frame < 3_000; frame += every) {
        stumbles[frame] = 0;
        stumbles[frame + 1] = 2;
      }
      const shown = frames(steady(3_000, stumbles));
      expect(letGoAt(shown).length, `every ${every}`).toBeLessThanOrEqual(3_000 / 120);
      const empty = shown.filter((items) => items.length === 0).length;
      expect(empty, `every ${every}`).toBeLessThanOrEqual(1 + 3_000 / 120);
    }
  });

  it("shows nothing where nothing came", () => {
    expect(frames([0, 0, 1, 0])).toEqual([[], [], [0], []]);
  });

  it("counts anew once it was emptied", () => {
    let nowMs = 0;
    const waiting = new Waiting<number>(() => nowMs);
    const stand = (frames: number) => {
      const shown = Array.from({ length: frames }, () => {
        waiting.push(0);
        nowMs += FRAME_MS;
        return waiting.due().length;
      });
      return Math.max(...shown);
    };
    waiting.push(0);
    expect(stand(40)).toBe(1);
    expect(waiting.drain()).toEqual([0]);
    waiting.push(0);
    expect(stand(40)).toBe(1);
    expect(stand(1)).toBe(2);
  });
});
