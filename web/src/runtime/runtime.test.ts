import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Failure } from "../rpc/failure";
import type { CommandRecord } from "../rpc/plain";
import { Metrics } from "../store/metrics";
import { recordOf, seriesOf } from "../store/testing";
import { Commander } from "./commander";
import type { Connection } from "./connection";
import { History } from "./history";
import { merge } from "./preferences";

interface Asked {
  name: string;
  request: {
    firstStep?: bigint;
    maxPoints?: number;
    command?: { commandId: string; timeToLiveMs?: bigint };
  };
  resolve(answer: unknown): void;
  reject(failure: Failure): void;
  onRetry: ((failure: Failure) => void) | undefined;
}

/** Stands in for the line to the worker: keeps what was asked until a test answers. */
function fakeConnection(): { connection: Connection; asked: Asked[] } {
  const asked: Asked[] = [];
  const call = (name: string, request: Asked["request"], onRetry?: Asked["onRetry"]) =>
    new Promise((resolve, reject) => asked.push({ name, request, resolve, reject, onRetry }));
  return { connection: { call } as unknown as Connection, asked };
}

const failure = (message: string): Failure => ({ fault: "error", message, retriable: false });
const loss = (steps: number[]) => seriesOf("loss", { steps, times: steps, values: steps });

describe("History", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  const flush = () => vi.advanceTimersByTimeAsync(0);

  it("asks once, until what is held may have gaps again", async () => {
    const { connection, asked } = fakeConnection();
    const history = new History("a", connection, new Metrics());
    history.load();
    history.load();
    expect(asked).toHaveLength(1);
    history.expect();
    history.load();
    expect(asked).toHaveLength(2);
  });

  it("drops an answer that a later question has overtaken", async () => {
    const { connection, asked } = fakeConnection();
    const metrics = new Metrics();
    const history = new History("a", connection, metrics);
    history.load();
    history.expect();
    history.load();
    asked[1]?.resolve([loss([5])]);
    await flush();
    asked[0]?.resolve([loss([1])]);
    await flush();
    expect(metrics.lastStep()).toBe(5);
    expect(metrics.newest("loss")?.columns.length).toBe(1);
  });

  it("asks again after a failure, when the link is back", async () => {
    const { connection, asked } = fakeConnection();
    const history = new History("a", connection, new Metrics());
    history.load();
    asked[0]?.reject(failure("away"));
    await flush();
    expect(history.state.get()).toBe("failed");
    history.load();
    expect(asked).toHaveLength(2);
  });

  it("fetches finer rows only for what is not exact already", async () => {
    const { connection, asked } = fakeConnection();
    const metrics = new Metrics();
    const merged = { values: [1], minimums: [0], maximums: [2], counts: [1_000] };
    metrics.adoptHistory([seriesOf("loss", { steps: [0], times: [0], ...merged })]);
    metrics.addLive([loss(Array.from({ length: 500 }, (_, i) => 1_000 + i))]);
    const history = new History("a", connection, metrics);
    const undo = history.look("loss", 400);
    history.setZoom({ firstStep: 1_100, lastStep: 1_200 });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(asked).toHaveLength(0);
    history.setZoom({ firstStep: 0, lastStep: 1_200 });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(asked).toHaveLength(1);
    expect(asked[0]?.request).toMatchObject({ series: ["loss"], maxPoints: 480 });
    undo();
  });

  /** A run of ten million steps in two thousand rows. */
  function longRun() {
    const { connection, asked } = fakeConnection();
    const metrics = new Metrics();
    const steps = Array.from({ length: 2_000 }, (_, i) => i * 5_000);
    const counts = steps.map(() => 5_000);
    const rows = { steps, times: steps, values: steps, minimums: steps, maximums: steps, counts };
    metrics.adoptHistory([seriesOf("loss", rows), seriesOf("other", rows)]);
    return { history: new History("a", connection, metrics), asked, metrics };
  }

  it("refines one range at a time, and the newest next", async () => {
    const { history, asked, metrics } = longRun();
    history.look("loss", 800);
    history.setZoom({ firstStep: 0, lastStep: 1_000_000 });
    await vi.advanceTimersByTimeAsync(500);
    for (let first = 0; first < 10; first++) {
      history.setZoom({ firstStep: first * 100_000, lastStep: first * 100_000 + 50_000 });
      await vi.advanceTimersByTimeAsync(500);
    }
    expect(asked).toHaveLength(1);
    asked[0]?.resolve([loss([0])]);
    await flush();
    expect(asked).toHaveLength(2);
    expect(asked[1]?.request.firstStep).toBe(895_000n);
    asked[1]?.resolve([loss([895_000, 955_000])]);
    await flush();
    expect(asked).toHaveLength(2);
    expect(metrics.details.size).toBe(2);
  });

  it("asks nothing for what it zoomed into before, nor for series on no chart", async () => {
    const { history, asked } = longRun();
    history.look("loss", 800);
    const range = { firstStep: 10_000, lastStep: 20_000 };
    for (const zoom of [range, undefined, range, { firstStep: 10_500, lastStep: 20_500 }]) {
      history.setZoom(zoom);
      await vi.advanceTimersByTimeAsync(500);
      asked.at(-1)?.resolve([loss([9_000, 21_000])]);
      await flush();
    }
    expect(asked).toHaveLength(1);
    history.look("other", 300);
    await vi.advanceTimersByTimeAsync(500);
    expect(asked).toHaveLength(2);
    expect(asked[1]?.request).toMatchObject({ series: ["other"] });
  });

  it("asks for fewer rows where so many series are too much for one answer", async () => {
    const { connection, asked } = fakeConnection();
    const history = new History("a", connection, new Metrics());
    history.load();
    asked[0]?.reject({ fault: "overflow", message: "too large", retriable: true });
    await flush();
    expect(asked).toHaveLength(2);
    expect(asked[1]?.request.maxPoints).toBe(Math.floor((asked[0]?.request.maxPoints ?? 0) / 2));
  });

  it("moves a zoomed range along to a step beyond its edge", () => {
    const { history } = longRun();
    history.setZoom({ firstStep: 1_000, lastStep: 2_000 });
    history.reveal(1_500);
    expect(history.zoom.get()).toEqual({ firstStep: 1_000, lastStep: 2_000 });
    history.reveal(5_000);
    expect(history.zoom.get()).toEqual({ firstStep: 4_500, lastStep: 5_500 });
    history.reveal(3);
    expect(history.zoom.get()).toEqual({ firstStep: 0, lastStep: 1_000 });
    history.close();
  });

  it("zooms within the run, and a range of all of it is no zoom", () => {
    const { connection } = fakeConnection();
    const metrics = new Metrics();
    metrics.addLive([loss([0, 1_000])]);
    const history = new History("a", connection, metrics);
    history.zoomTo(900, 100);
    expect(history.zoom.get()).toEqual({ firstStep: 100, lastStep: 900 });
    history.adjust(0.5, 0);
    expect(history.zoom.get()).toEqual({ firstStep: 300, lastStep: 700 });
    history.adjust(1, -5);
    expect(history.zoom.get()?.firstStep ?? 0).toBeGreaterThanOrEqual(0);
    history.zoomTo(-50, 5_000);
    expect(history.zoom.get()).toBeUndefined();
    history.close();
  });
});

describe("Commander", () => {
  const record = (commandId: string): CommandRecord => recordOf({ command: { commandId } });

  it("shows a command from the first moment until it is on record", async () => {
    const { connection, asked } = fakeConnection();
    const recorded: CommandRecord[] = [];
    const commander = new Commander("a", connection, (one) => {
      recorded.push(one);
      commander.settle(recorded);
    });
    const sent = commander.send({ case: "pause", value: {} });
    const [entry] = commander.pending.get();
    expect(entry?.state).toBe("sending");
    asked[0]?.onRetry?.(failure("the link is lost"));
    expect(commander.pending.get()[0]).toMatchObject({ state: "retrying" });
    asked[0]?.resolve(record(entry?.id ?? ""));
    await sent;
    expect(commander.pending.get()).toEqual([]);
  });

  it("keeps a refused one with its reason until it is dismissed", async () => {
    const { connection, asked } = fakeConnection();
    const commander = new Commander("a", connection, () => undefined);
    const sent = commander.send({ case: "stop", value: {} });
    asked[0]?.reject(failure("the session has ended"));
    await sent;
    const [entry] = commander.pending.get();
    expect(entry).toMatchObject({ state: "refused", message: "the session has ended" });
    commander.dismiss(entry?.id ?? "");
    expect(commander.pending.get()).toEqual([]);
  });

  it("gives pause, resume and stop no end, and the others an hour", () => {
    const { connection, asked } = fakeConnection();
    const commander = new Commander("a", connection, () => undefined);
    void commander.send({ case: "pause", value: {} });
    void commander.send({ case: "evaluate", value: {} });
    expect(asked[0]?.request.command?.timeToLiveMs).toBeUndefined();
    expect(asked[1]?.request.command?.timeToLiveMs).toBe(3_600_000n);
  });
});

describe("merge", () => {
  it("takes nothing on trust from what an older page kept", () => {
    for (const kept of [null, "x", { rate: 900, smoothing: "a", axis: "z", theme: 7 }]) {
      expect(merge(kept)).toMatchObject({
        rate: 60,
        smoothing: 0.9,
        axis: "step",
        theme: "system",
      });
    }
    expect(merge({ rate: 5, wrongOnly: true })).toMatchObject({ rate: 5, wrongOnly: true });
  });
});
