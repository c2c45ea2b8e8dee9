/** Small makers of messages for tests. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { CommandRecordSchema } from "../gen/trainmon/v1/control_pb";
import { SessionSnapshotSchema, SessionSummarySchema } from "../gen/trainmon/v1/dashboard_pb";
import {
  BatchDataSchema,
  EpochDataSchema,
  MetricSeriesSchema,
  PerformanceDataSchema,
} from "../gen/trainmon/v1/telemetry_pb";
import { toPlain } from "../rpc/plain";

type Init<S extends Parameters<typeof create>[0]> = MessageInitShape<S>;

export const seriesOf = (name: string, init: Init<typeof MetricSeriesSchema>) =>
  toPlain(create(MetricSeriesSchema, { ...init, name }));
export const batchOf = (init: Init<typeof BatchDataSchema>) =>
  toPlain(create(BatchDataSchema, init));
export const epochOf = (init: Init<typeof EpochDataSchema>) =>
  toPlain(create(EpochDataSchema, init));
export const summaryOf = (init: Init<typeof SessionSummarySchema>) =>
  toPlain(create(SessionSummarySchema, init));
export const snapshotOf = (init: Init<typeof SessionSnapshotSchema>) =>
  toPlain(create(SessionSnapshotSchema, init));
export const performanceOf = (init: Init<typeof PerformanceDataSchema>) =>
  toPlain(create(PerformanceDataSchema, init));
export const recordOf = (init: Init<typeof CommandRecordSchema>) =>
  toPlain(create(CommandRecordSchema, init));
