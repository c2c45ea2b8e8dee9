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

  it("tells the learning rate of each optimizer", () => {
    const metrics = new Metrics();
    expect(metrics.learningRates()).toEqual([]);
    const rate = (name: string, value: number) =>
      seriesOf(name, { steps: [0], times: [0], values: [value] });
    metrics.addLive([rate("learning_rate_1", 0.2), rate("learning_rate", 0.1)]);
    metrics.addLive([rate("learning_rate_3", 0.4)]);
    expect(metrics.learningRates()).toEqual([0.1, 0.2]);
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

  const coarse = (steps: number[], count: number) =>
    seriesOf("loss", {
      steps,
      times: steps,
      values: steps,
      minimums: steps,
      maximums: steps,
      counts: steps.map(() => count),
    });

  it("draws the fetched detail only while it covers the window", () => {
    const metrics = new Metrics();
    metrics.adoptHistory([coarse([0, 100], 100)]);
    metrics.adoptDetail({ firstStep: 10, lastStep: 20 }, ["loss"], [loss([10, 11, 12], [5, 6, 7])]);
    const inside = metrics.attemptsWithin("loss", { firstStep: 11, lastStep: 19 });
    const outside = metrics.attemptsWithin("loss", { firstStep: 5, lastStep: 19 });
    expect(inside[0]?.columns.length).toBe(3);
    expect(outside[0]?.columns.length).toBe(2);
  });

  it("keeps wider details for zooming out, and asks for finer rows when zoomed in far", () => {
    const metrics = new Metrics();
    metrics.adoptHistory([coarse([0, 1_000], 1_000)]);
    const wide = { firstStep: 0, lastStep: 999 };
    const narrow = { firstStep: 100, lastStep: 199 };
    expect(metrics.isCoarse("loss", wide)).toBe(true);
    metrics.adoptDetail(wide, ["loss"], [coarse([0, 100, 500], 100)]);
    expect(metrics.isCoarse("loss", wide)).toBe(false);
    expect(metrics.isCoarse("loss", narrow)).toBe(true);
    metrics.adoptDetail(narrow, ["loss"], [loss([100, 101], [1, 2])]);
    expect(metrics.isCoarse("loss", narrow)).toBe(false);
    expect(metrics.isCoarse("loss", { firstStep: 150, lastStep: 151 })).toBe(false);
    expect(metrics.attemptsWithin("loss", narrow)[0]?.columns.length).toBe(2);
    expect(metrics.attemptsWithin("loss", wide)[0]?.columns.length).toBe(3);
  });

  it("adds to a detail what came while it was fetched, and what comes after", () => {
    const metrics = new Metrics();
    metrics.adoptHistory([coarse([0], 1_000)]);
    metrics.addLive([loss([1_000, 1_001, 1_002], [7, 8, 9])]);
    const window = { firstStep: 900, lastStep: 1_100 };
    metrics.adoptDetail(window, ["loss"], [loss([998, 999, 1_000], [5, 6, 7])]);
    metrics.addLive([loss([1_003], [10])]);
    const [track] = metrics.attemptsWithin("loss", window);
    const steps = track?.columns.steps.subarray(0, track.columns.length) ?? [];
    expect([...steps]).toEqual([998, 999, 1_000, 1_001, 1_002, 1_003]);
  });

  it("holds a bounded number of rows, however many series and details there are", () => {
    const metrics = new Metrics();
    const steps = Array.from({ length: 8_000 }, (_, i) => i);
    for (let i = 0; i < 300; i++) {
      metrics.addLive([seriesOf(`m${i}`, { steps, times: steps, values: steps })]);
    }
    metrics.addLive(
      metrics.names().map((name) => seriesOf(name, { steps: [9_000], times: [0], values: [0] })),
    );
    const held = metrics.names().flatMap((name) => metrics.attempts(name));
    const capacity = held.reduce((sum, { columns }) => sum + columns.steps.length, 0);
    expect(capacity).toBeLessThan(1_200_000);
    for (let first = 0; first < 1_000; first++) {
      const window = { firstStep: first, lastStep: first + 1_000 };
      metrics.details.put(
        "m0",
        window,
        [seriesOf("m0", { steps, times: steps, values: steps })],
        [],
      );
    }
    expect(metrics.details.size).toBeLessThan(60);
  });

  it("names the loss and the learning rate first", () => {
    const metrics = new Metrics();
    const one = { steps: [0], times: [0], values: [0] };
    metrics.addLive(["zeta", "learning_rate", "alpha", "loss"].map((name) => seriesOf(name, one)));
    expect(metrics.names()).toEqual(["loss", "learning_rate", "alpha", "zeta"]);
  });

  it("shows what it has until the history of another store takes its place", () => {
    const metrics = new Metrics();
    metrics.addLive([loss([0, 1], [Number.NaN, 1])]);
    metrics.expectSuccessor();
    metrics.addLive([loss([7], [7])]);
    expect(metrics.lastStep()).toBe(7);
    expect(metrics.newest("loss")?.columns.length).toBe(3);
    metrics.adoptHistory([loss([5, 6], [5, 6])]);
    const columns = metrics.newest("loss")?.columns;
    expect([...(columns?.steps.subarray(0, columns.length) ?? [])]).toEqual([5, 6, 7]);
    expect(metrics.notFinite).toBeUndefined();
  });

  it("tells what was measured at a step", () => {
    const metrics = new Metrics();
    metrics.addLive([loss([0, 1, 2], [1, 2, 3]), loss([2], [9], 1)]);
    expect(metrics.rowAt("loss", 1)?.value).toBe(2);
    expect(metrics.rowAt("loss", 2)?.value).toBe(9);
    expect(metrics.rowAt("none", 2)).toBeUndefined();
  });
});
