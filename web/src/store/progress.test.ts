import { describe, expect, it } from "vitest";
import { SessionState } from "../gen/trainmon/v1/dashboard_pb";
import { Metrics } from "./metrics";
import { currentRate, newestLoss, progressOf } from "./progress";
import { emptySession, type SessionView } from "./session";
import { epochOf, performanceOf, seriesOf, summaryOf } from "./testing";

const view = (state = SessionState.RUNNING): SessionView => ({
  ...emptySession,
  summary: summaryOf({
    state,
    epoch: 1,
    totalEpochs: 4,
    batchIndex: 7n,
    batchesPerEpoch: 10n,
    globalStep: 17n,
    loss: 0.5,
  }),
});

function metricsAt(step: number): Metrics {
  const metrics = new Metrics();
  metrics.addLive([seriesOf("loss", { steps: [step], times: [0], values: [0.25] })]);
  return metrics;
}

describe("progressOf", () => {
  it("counts from one, as people count", () => {
    const progress = progressOf(view(), new Metrics());
    expect(progress).toMatchObject({ step: 17, epoch: 2, batch: 8, epochShare: 0.8 });
    expect(progress.runShare).toBeCloseTo(1.8 / 4, 9);
  });

  it("moves on with the scalars, over the end of an epoch", () => {
    expect(progressOf(view(), metricsAt(21))).toMatchObject({ step: 21, epoch: 3, batch: 2 });
  });

  const lossesUpTo = (last: number) => {
    const metrics = new Metrics();
    const steps = Array.from({ length: last + 1 }, (_, step) => step);
    metrics.addLive([seriesOf("loss", { steps, times: steps, values: steps })]);
    return metrics;
  };

  it("counts batches by the steps where reports are of long ago, as in a short unwatched run", () => {
    const summary = summaryOf({ globalStep: 29n, epoch: 0, batchIndex: 0n });
    const stale = { ...emptySession, summary };
    expect(progressOf(stale, lossesUpTo(29))).toMatchObject({ epoch: 1, batch: 30 });
    const epochs = [9, 19].map((globalStep, epoch) =>
      epochOf({ epoch, globalStep: BigInt(globalStep) }),
    );
    expect(progressOf({ ...stale, epochs }, lossesUpTo(29))).toMatchObject({ epoch: 3, batch: 10 });
    expect(progressOf({ ...stale, epochs }, lossesUpTo(19))).toMatchObject({ epoch: 2, batch: 10 });
  });

  it("believes a report of an epoch before which no end of one was told", () => {
    const summary = summaryOf({ globalStep: 50n, epoch: 2, batchIndex: 4n });
    const told = { ...emptySession, summary };
    expect(progressOf(told, lossesUpTo(51))).toMatchObject({ epoch: 3, batch: 6 });
  });

  it("knows nothing of a session that has not begun", () => {
    expect(progressOf(emptySession, new Metrics())).toMatchObject({
      step: undefined,
      epoch: undefined,
      runShare: undefined,
    });
  });
});

describe("newestLoss", () => {
  it("prefers the scalars to the summary", () => {
    expect(newestLoss(view(), metricsAt(18))).toBe(0.25);
    expect(newestLoss(view(), new Metrics())).toBe(0.5);
  });
});

describe("currentRate", () => {
  it("is none in a run that waits or is over", () => {
    const performance = performanceOf({ currentFps: 60 });
    expect(currentRate({ ...view(), performance })).toBe(60);
    expect(currentRate({ ...view(SessionState.PAUSED), performance })).toBe(0);
    expect(currentRate({ ...view(SessionState.COMPLETED), performance })).toBeUndefined();
  });
});
