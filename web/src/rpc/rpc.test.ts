import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { SessionSummarySchema } from "../gen/trainmon/v1/dashboard_pb";
import { BatchDataSchema, MetricSeriesSchema } from "../gen/trainmon/v1/telemetry_pb";
import { backoffMs } from "./backoff";
import { ClockOffset } from "./clock";
import { failureOf } from "./failure";
import { toPlain } from "./plain";

describe("toPlain", () => {
  it("makes numbers of every bigint, at any depth", () => {
    const summary = create(SessionSummarySchema, {
      globalStep: 9_007_199_254_740_000n,
      ranks: [{ lastSeenMs: 5n }],
    });
    const plain = toPlain(summary);
    expect(plain.globalStep).toBe(9_007_199_254_740_000);
    expect(plain.ranks[0]?.lastSeenMs).toBe(5);
  });

  it("leaves absence, bytes and columns as they are", () => {
    const bytes = new Uint8Array([1, 2, 3]);
    const batch = toPlain(create(BatchDataSchema, { images: [{ imageBytes: bytes }] }));
    expect(batch.images[0]?.imageBytes).toBe(bytes);
    expect(batch.batchLoss).toBeUndefined();
    const series = create(MetricSeriesSchema, { values: [1, Number.NaN] });
    expect(toPlain(series).values).toEqual([1, Number.NaN]);
  });
});

describe("backoffMs", () => {
  it("doubles to a limit, and draws the upper half at random", () => {
    expect(backoffMs(0, () => 1)).toBe(250);
    expect(backoffMs(0, () => 0)).toBe(125);
    expect(backoffMs(3, () => 1)).toBe(2_000);
    expect(backoffMs(1_000, () => 1)).toBe(8_000);
  });
});

describe("ClockOffset", () => {
  it("believes the exchange of least round trip", () => {
    const clock = new ClockOffset();
    clock.add(0, 1_500, 1_000);
    clock.add(2_000, 2_105, 2_010);
    clock.add(3_000, 3_700, 3_900);
    expect(clock.best()).toEqual({ offsetMs: 100, roundTripMs: 10 });
  });

  it("forgets what was measured before a clock was set", () => {
    const clock = new ClockOffset();
    clock.add(0, 102, 4);
    clock.add(5_000, 3_605_200, 5_200);
    expect(clock.best()).toEqual({ offsetMs: 3_600_100, roundTripMs: 200 });
  });

  it("forgets what is older than sixty exchanges", () => {
    const clock = new ClockOffset();
    clock.add(0, 50, 0);
    for (let i = 0; i < 60; i++) clock.add(i, i + 7, i + 2);
    expect(clock.best()?.offsetMs).toBe(6);
  });
});

describe("failureOf", () => {
  it("tells the gateway's absence from the monitor's", () => {
    const unreachable = ConnectError.from(new TypeError("Failed to fetch"), Code.Internal);
    expect(failureOf(unreachable)).toMatchObject({ fault: "gateway", retriable: true });
    const away = new ConnectError("the monitor does not answer", Code.Unavailable);
    expect(failureOf(away)).toMatchObject({ fault: "monitor", retriable: true });
  });

  it("takes a stream cut without its trailer for the gateway's end", () => {
    const cut = ConnectError.from("missing trailer", Code.Internal);
    expect(failureOf(cut).fault).toBe("gateway");
  });

  it("does not repeat what was refused", () => {
    for (const code of [Code.NotFound, Code.FailedPrecondition, Code.InvalidArgument]) {
      expect(failureOf(new ConnectError("no", code)).retriable).toBe(false);
    }
  });
});
