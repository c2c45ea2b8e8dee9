import { SessionState } from "../gen/trainmon/v1/dashboard_pb";
import type { PerformanceData, SessionSummary } from "../rpc/plain";
import { LOSS, type Metrics } from "./metrics";
import type { SessionView } from "./session";
import { lookOf } from "./states";

/** Where a run is: counts from 1, as people count; undefined where it is unknown. */
export interface Progress {
  step: number | undefined;
  epoch: number | undefined;
  totalEpochs: number | undefined;
  batch: number | undefined;
  batchesPerEpoch: number | undefined;
  /** Part of the run and of the epoch that is done, 0 to 1. */
  runShare: number | undefined;
  epochShare: number | undefined;
  runRemainingMs: number | undefined;
  epochRemainingMs: number | undefined;
}

/** Combine what the summary, the rates and the scalars tell; the scalars are the newest. */
export function progressOf(view: SessionView, metrics: Metrics): Progress {
  const { summary, performance, registration } = view;
  const step = newestStep(metrics) ?? reportedStep(summary, performance);
  const batchesPerEpoch = summary?.batchesPerEpoch ?? registration?.batchesPerEpoch;
  const totalEpochs = summary?.totalEpochs ?? registration?.totalEpochs;
  const place = placeOf(summary, performance, step, batchesPerEpoch);
  const over = lookOf(summary?.state).ended;
  const epochShare = share(place && place.batch + 1, batchesPerEpoch);
  return {
    step,
    epoch: place && Math.min(place.epoch + 1, totalEpochs || Number.POSITIVE_INFINITY),
    totalEpochs,
    batch: place && place.batch + 1,
    batchesPerEpoch,
    epochShare,
    runShare: share(place && place.epoch + (epochShare ?? 0), totalEpochs),
    runRemainingMs: over ? undefined : performance?.runRemainingMs,
    epochRemainingMs: over ? undefined : performance?.epochRemainingMs,
  };
}

/** The newest loss: of the scalars, else of the summary. NaN is a value. */
export function newestLoss(view: SessionView, metrics: Metrics): number | undefined {
  return metrics.lastValue(LOSS) ?? view.summary?.loss;
}

function newestStep(metrics: Metrics): number | undefined {
  const columns = metrics.newest(LOSS)?.columns;
  if (columns === undefined || columns.length === 0) return undefined;
  const last = columns.length - 1;
  return (columns.steps[last] ?? 0) + (columns.counts[last] ?? 1) - 1;
}

function reportedStep(
  summary: SessionSummary | undefined,
  performance: PerformanceData | undefined,
): number | undefined {
  if (summary?.globalStep === undefined) return performance?.globalStep;
  return Math.max(summary.globalStep, performance?.globalStep ?? 0);
}

/** Epoch and batch from 0, moved on from the last report to the newest step. */
function placeOf(
  summary: SessionSummary | undefined,
  performance: PerformanceData | undefined,
  step: number | undefined,
  batchesPerEpoch: number | undefined,
): { epoch: number; batch: number } | undefined {
  const reported =
    performance !== undefined && performance.globalStep >= (summary?.globalStep ?? 0)
      ? performance
      : summary;
  if (reported?.globalStep === undefined || step === undefined) return undefined;
  const ahead = Math.max(0, step - reported.globalStep);
  const batch = reported.batchIndex + ahead;
  if (!batchesPerEpoch) return { epoch: reported.epoch, batch };
  const epochs = Math.floor(batch / batchesPerEpoch);
  return { epoch: reported.epoch + epochs, batch: batch - epochs * batchesPerEpoch };
}

function share(done: number | undefined, total: number | undefined): number | undefined {
  if (done === undefined || !total) return undefined;
  return Math.min(1, Math.max(0, done / total));
}

/** Training batches per second now: none in a run that waits or is over. */
export function currentRate(view: SessionView): number | undefined {
  const { summary, performance } = view;
  if (lookOf(summary?.state).ended) return undefined;
  if (summary?.state === SessionState.PAUSED) return 0;
  return performance?.currentFps ?? summary?.currentFps;
}
