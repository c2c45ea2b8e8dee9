import { SessionState } from "../gen/trainmon/v1/dashboard_pb";
import type { EpochData, PerformanceData, SessionSummary } from "../rpc/plain";
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
  const place = placeOf(view, metrics, step, batchesPerEpoch);
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

interface Place {
  epoch: number;
  batch: number;
}

/** Epoch and batch from 0 at the newest step. */
function placeOf(
  view: SessionView,
  metrics: Metrics,
  step: number | undefined,
  batchesPerEpoch: number | undefined,
): Place | undefined {
  if (step === undefined) return undefined;
  const counted = placeByEpochs(view.epochs, metrics, step);
  const reported = placeByReport(view, step);
  // A report of a later epoch knows of one whose end was not told.
  const isBehind =
    counted !== undefined && reported !== undefined && reported.epoch > counted.epoch;
  const place = isBehind ? reported : (counted ?? reported);
  if (place === undefined || !batchesPerEpoch) return place;
  const epochs = Math.floor(place.batch / batchesPerEpoch);
  return { epoch: place.epoch + epochs, batch: place.batch - epochs * batchesPerEpoch };
}

/**
 * Counted from the end of the epoch before, or from the beginning of the run. Every loss tells its
 * step; reports come only every few batches, and in a short run that nobody watched not at all.
 */
function placeByEpochs(epochs: EpochData[], metrics: Metrics, step: number): Place | undefined {
  const newest = metrics.newest(LOSS);
  if (newest === undefined || newest.columns.length === 0) return undefined;
  let before: EpochData | undefined;
  for (const epoch of epochs) {
    if (epoch.attempt !== newest.attempt || epoch.globalStep >= step) continue;
    if (before === undefined || epoch.globalStep > before.globalStep) before = epoch;
  }
  if (before !== undefined) {
    return { epoch: before.epoch + 1, batch: step - before.globalStep - 1 };
  }
  const fromTheStart = newest.attempt === 0 && newest.columns.steps[0] === 0;
  return fromTheStart ? { epoch: 0, batch: step } : undefined;
}

/** As was reported, moved on from then to the newest step. */
function placeByReport({ summary, performance }: SessionView, step: number): Place | undefined {
  const isNewer = performance !== undefined && performance.globalStep >= (summary?.globalStep ?? 0);
  const reported = isNewer ? performance : summary;
  if (reported?.globalStep === undefined) return undefined;
  const ahead = Math.max(0, step - reported.globalStep);
  return { epoch: reported.epoch, batch: reported.batchIndex + ahead };
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
