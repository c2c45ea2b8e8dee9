import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { BatchData } from "../rpc/plain";
import { batchOf } from "../store/testing";
import { Scrubber } from "./scrubber";

const frame = (step: number) =>
  batchOf({ globalStep: BigInt(step), images: [{ imageBytes: new Uint8Array(10) }] });

interface Asked {
  step: number;
  resolve(frame: BatchData): void;
  reject(failure: { message: string }): void;
}

function scrubber(given: { lastStep?: number; growing?: boolean } = {}) {
  const asked: Asked[] = [];
  const shown: (number | "live")[] = [];
  const made = new Scrubber({
    ask: (step) => new Promise((resolve, reject) => asked.push({ step, resolve, reject })),
    lastStep: () => given.lastStep ?? 1_000,
    growing: () => given.growing ?? false,
    onLookBack: () => undefined,
    onFrame: (one) => shown.push(one.globalStep),
    onLive: () => shown.push("live"),
  });
  return { made, asked, shown };
}

describe("Scrubber", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());
  const flush = () => vi.advanceTimersByTimeAsync(0);

  it("never has more than one question on its way, and asks for the newest moment next", async () => {
    const { made, asked, shown } = scrubber();
    for (const step of [100, 200, 300, 400]) made.goTo(step);
    expect(asked.map(({ step }) => step)).toEqual([100]);
    asked[0]?.resolve(frame(90));
    await flush();
    expect(asked.map(({ step }) => step)).toEqual([100, 400]);
    asked[1]?.resolve(frame(420));
    await flush();
    expect(shown.at(-1)).toBe(420);
    expect(made.moment.get()).toMatchObject({ step: 400, asking: false });
  });

  it("shows the nearest frame at hand while a nearer one is asked for", async () => {
    const { made, asked, shown } = scrubber();
    made.goTo(100);
    asked[0]?.resolve(frame(100));
    await flush();
    made.goTo(300);
    expect(made.moment.get()).toMatchObject({ step: 300, asking: true });
    expect(made.moment.get()?.frame?.globalStep).toBe(100);
    asked[1]?.resolve(frame(310));
    await flush();
    expect(shown).toEqual([100, 310]);
  });

  it("answers from what it knows without asking", async () => {
    const { made, asked } = scrubber();
    made.goTo(100);
    asked[0]?.resolve(frame(140));
    await flush();
    made.goTo(120);
    expect(asked).toHaveLength(1);
    expect(made.moment.get()).toMatchObject({ step: 120, asking: false });
  });

  it("fetches neighbours only while one stands still, a few, and one at a time", async () => {
    const { made, asked } = scrubber();
    made.goTo(500);
    asked[0]?.resolve(frame(510));
    await flush();
    expect(asked).toHaveLength(1);
    for (let i = 1; i < 8; i++) {
      await vi.advanceTimersByTimeAsync(1_000);
      asked[i]?.resolve(frame(510));
      await flush();
    }
    const steps = asked.slice(1).map(({ step }) => step);
    expect(steps).toHaveLength(4);
    expect(steps[0]).toBeLessThan(510);
    expect(steps[3]).toBeGreaterThan(510);
  });

  it("drops what is fetched ahead when one goes on", async () => {
    const { made, asked } = scrubber();
    made.goTo(500);
    asked[0]?.resolve(frame(510));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(asked).toHaveLength(2);
    made.goTo(900);
    expect(asked).toHaveLength(2);
    asked[1]?.resolve(frame(510));
    await flush();
    expect(asked.map(({ step }) => step).slice(2)).toEqual([900]);
  });

  it("says why there is no picture, and asks again for another moment", async () => {
    const { made, asked } = scrubber();
    made.goTo(100);
    asked[0]?.reject({ message: "no picture in its history" });
    await flush();
    expect(made.moment.get()).toMatchObject({
      asking: false,
      problem: "no picture in its history",
    });
    made.goTo(101);
    expect(asked).toHaveLength(2);
  });

  it("asks again at the growing end of a live run, but not in circles", async () => {
    const { made, asked } = scrubber({ growing: true });
    made.goTo(990);
    asked[0]?.resolve(frame(900));
    await flush();
    expect(made.moment.get()).toMatchObject({ step: 990, asking: false });
    made.goTo(991);
    expect(asked).toHaveLength(2);
  });

  it("stays within the run, and goes back to live once", () => {
    const { made, shown } = scrubber({ lastStep: 50 });
    made.goTo(80);
    expect(made.moment.get()?.step).toBe(50);
    made.goTo(-950);
    expect(made.moment.get()?.step).toBe(0);
    made.live();
    made.live();
    expect(made.moment.get()).toBeUndefined();
    expect(shown).toEqual(["live"]);
  });

  it("keeps a step from an address until the run is known", () => {
    const { made, asked } = scrubber({ lastStep: -1 });
    made.goTo(70_000);
    expect(asked[0]?.step).toBe(70_000);
  });

  it("forgets what another store answered, and asks that one anew", async () => {
    const { made, asked } = scrubber();
    made.goTo(100);
    asked[0]?.resolve(frame(100));
    await flush();
    made.renew();
    expect(asked[1]?.step).toBe(100);
    asked[1]?.resolve(frame(95));
    await flush();
    expect(made.moment.get()?.frame?.globalStep).toBe(95);
  });
});
