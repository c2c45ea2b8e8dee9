import { describe, expect, it } from "vitest";
import { Metrics } from "./metrics";
import { seriesOf } from "./testing";

const loss = (steps: number[], values: number[], attempt = 0) =>
  seriesOf("loss", { steps, times: steps, values, attempt });

describe("Metrics", () => {
  it("merges history and live rows by step, in either order", () => {
    const first = new Metrics();
    first.addLive([loss([3, 4], [30, 40])]);
    first.adoptHistory([loss([0, 1, 2, 3], [0, 10, 20, 30])]);
    const second = new Metrics();
    second.adoptHistory([loss([0, 1, 2, 3], [0, 10, 20, 30])]);
    second.addLive([loss([3, 4], [30, 40])]);
    for (const metrics of [first, second]) {
      const columns = metrics.newest("loss")?.columns;
      expect([...(columns?.values.subarray(0, columns.length) ?? [])]).toEqual([0, 10, 20, 30, 40]);
    }
  });

  it("keeps attempts apart and calls the last one newest", () => {
    const metrics = new Metrics();
    metrics.addLive([loss([0, 1], [1, 2]), loss([1], [9], 1)]);
    expect(metrics.attempts("loss")).toHaveLength(2);
    expect(metrics.lastValue("loss")).toBe(9);
  });

  it("remembers where the loss was not finite, and its newest such value", () => {
    const metrics = new Metrics();
    metrics.addLive([loss([1, 2, 3], [1, Number.NaN, Number.POSITIVE_INFINITY])]);
    metrics.adoptHistory([loss([0, 1, 2, 3], [1, 1, Number.NaN, Number.POSITIVE_INFINITY])]);
    expect(metrics.notFinite).toEqual({
      firstStep: 2,
      lastStep: 3,
      value: Number.POSITIVE_INFINITY,
      episode: 1,
    });
  });

  it("counts how often the loss stopped being finite, not at how many steps", () => {
    const metrics = new Metrics();
    metrics.addLive([loss([1, 2, 3], [Number.NaN, Number.NaN, Number.NaN])]);
    expect(metrics.notFinite?.episode).toBe(1);
    metrics.addLive([loss([4, 5], [1, 1])]);
    metrics.addLive([loss([6, 7], [Number.NaN, Number.NaN])]);
    expect(metrics.notFinite).toMatchObject({ lastStep: 7, episode: 2 });
  });

  it("draws the fetched detail only while it covers the window", () => {
    const metrics = new Metrics();
    metrics.addLive([loss([0, 100], [1, 2])]);
    metrics.adoptDetail({ firstStep: 10, lastStep: 20 }, [loss([10, 11, 12], [5, 6, 7])]);
    const inside = metrics.attemptsWithin("loss", { firstStep: 11, lastStep: 19 });
    const outside = metrics.attemptsWithin("loss", { firstStep: 5, lastStep: 19 });
    expect(inside[0]?.columns.length).toBe(3);
    expect(outside[0]?.columns.length).toBe(2);
  });

  it("names the loss and the learning rate first", () => {
    const metrics = new Metrics();
    const one = { steps: [0], times: [0], values: [0] };
    metrics.addLive(["zeta", "learning_rate", "alpha", "loss"].map((name) => seriesOf(name, one)));
    expect(metrics.names()).toEqual(["loss", "learning_rate", "alpha", "zeta"]);
  });

  it("forgets everything when the store behind it has changed", () => {
    const metrics = new Metrics();
    metrics.addLive([loss([0], [Number.NaN])]);
    metrics.clear();
    expect(metrics.names()).toEqual([]);
    expect(metrics.notFinite).toBeUndefined();
    expect(metrics.lastStep()).toBe(-1);
  });
});
