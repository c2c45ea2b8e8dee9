import { describe, expect, it } from "vitest";
import { SessionState } from "../gen/trainmon/v1/dashboard_pb";
import { Metrics } from "./metrics";
import { currentRate, newestLoss, progressOf } from "./progress";
import { emptySession, type SessionView } from "./session";
import { performanceOf, seriesOf, summaryOf } from "./testing";

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
