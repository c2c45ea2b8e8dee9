/**
 * The border between the wire and the page: generated messages with every 64-bit integer as a plain
 * number (steps, bytes and milliseconds stay far below 2^53). There is no second representation;
 * the generated types are the model.
 */

import type {
  CommandRecord as WireCommandRecord,
  ControlCommand as WireControlCommand,
  ControlSpec as WireControlSpec,
} from "../gen/trainmon/v1/control_pb";
import type {
  KeepAlive as WireKeepAlive,
  RankSummary as WireRankSummary,
  SessionSnapshot as WireSessionSnapshot,
  SessionSummary as WireSessionSummary,
  WatchSessionResponse as WireWatchSessionResponse,
} from "../gen/trainmon/v1/dashboard_pb";
import type {
  BatchData as WireBatchData,
  BoundingBox as WireBoundingBox,
  EpochData as WireEpochData,
  ErrorResponse as WireErrorResponse,
  GroundTruth as WireGroundTruth,
  ImageData as WireImageData,
  LossCount as WireLossCount,
  MetricSeries as WireMetricSeries,
  PerformanceData as WirePerformanceData,
  Prediction as WirePrediction,
  RegisterTrainingSessionRequest as WireRegistration,
  StatusUpdate as WireStatusUpdate,
  TextData as WireTextData,
} from "../gen/trainmon/v1/telemetry_pb";

/** A message with bigint replaced by number, all the way down; bytes are left alone. */
export type Plain<T> = T extends bigint
  ? number
  : T extends Uint8Array
    ? T
    : T extends ReadonlyArray<infer U>
      ? Plain<U>[]
      : T extends object
        ? { [K in keyof T as Exclude<K, "$typeName" | "$unknown">]: Plain<T[K]> }
        : T;

export type SessionSummary = Plain<WireSessionSummary>;
export type SessionSnapshot = Plain<WireSessionSnapshot>;
export type RankSummary = Plain<WireRankSummary>;
export type KeepAlive = Plain<WireKeepAlive>;
export type WatchEvent = Plain<WireWatchSessionResponse>["event"];
export type BatchData = Plain<WireBatchData>;
export type ImageData = Plain<WireImageData>;
export type BoundingBox = Plain<WireBoundingBox>;
export type Prediction = Plain<WirePrediction>;
export type GroundTruth = Plain<WireGroundTruth>;
export type TextData = Plain<WireTextData>;
export type EpochData = Plain<WireEpochData>;
export type PerformanceData = Plain<WirePerformanceData>;
export type LossCount = Plain<WireLossCount>;
export type MetricSeries = Plain<WireMetricSeries>;
export type Registration = Plain<WireRegistration>;
export type StatusUpdate = Plain<WireStatusUpdate>;
export type ErrorNotice = Plain<WireErrorResponse>;
export type CommandRecord = Plain<WireCommandRecord>;
export type ControlCommand = Plain<WireControlCommand>;
export type ControlSpec = Plain<WireControlSpec>;

/** Replace every bigint in a message by a number, in place, and return it. */
export function toPlain<T extends object>(message: T): Plain<T> {
  convert(message as Record<string, unknown>);
  return message as unknown as Plain<T>;
}

function convert(holder: Record<string, unknown>): void {
  for (const key of Object.keys(holder)) {
    const value = holder[key];
    if (typeof value === "bigint") holder[key] = Number(value);
    else if (isNested(value)) convert(value);
  }
}

/** Whether a value can hold a bigint: long number columns and bytes are not walked. */
function isNested(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return false;
  return !(Array.isArray(value) && typeof value[0] === "number");
}
