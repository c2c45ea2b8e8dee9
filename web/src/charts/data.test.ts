import { describe, expect, it } from "vitest";
import type { EpochData } from "../rpc/plain";
import { stepAxis } from "../store/axis";
import { Metrics } from "../store/metrics";
import { epochOf, seriesOf } from "../store/testing";
import { epochData, positiveOnly, seriesData } from "./data";

const options = { firstStep: 0, lastStep: 100, buckets: 500, axis: stepAxis, hue: 0 };

function metricsWith(...attempts: [number[], number[]][]): Metrics {
  const metrics = new Metrics();
  attempts.forEach(([steps, values], attempt) => {
    metrics.addLive([seriesOf("loss", { steps, times: steps, values, attempt })]);
  });
  return metrics;
}

describe("seriesData", () => {
  it("draws a raw and a smoothed line, and a band only where rows were merged", () => {
    const exact = seriesData(
      metricsWith([
        [0, 1],
        [5, 6],
      ]),
      "loss",
      { ...options, smoothing: 0.5 },
    );
    expect(exact.lines.map((line) => line.kind)).toEqual(["raw", "smooth"]);
    const metrics = new Metrics();
    const merged = { values: [5], minimums: [1], maximums: [9], counts: [4] };
    metrics.adoptHistory([seriesOf("loss", { steps: [0], times: [0], ...merged })]);
    const banded = seriesData(metrics, "loss", { ...options, smoothing: 0 });
    expect(banded.lines.map((line) => line.kind)).toEqual(["edge", "edge", "raw"]);
    expect(banded.lines[0]?.values).toEqual([9]);
    expect(banded.lines[1]?.values).toEqual([1]);
  });

  it("shows an earlier attempt beside the newest, without breaking either", () => {
    const metrics = metricsWith(
      [
        [0, 1, 2],
        [10, 11, 12],
      ],
      [
        [1, 3],
        [21, 23],
      ],
    );
    const data = seriesData(metrics, "loss", { ...options, smoothing: 0 });
    expect(data.x).toEqual([0, 1, 2, 3]);
    const byKind = new Map(data.lines.map((line) => [line.kind, line.values]));
    expect(byKind.get("raw")).toEqual([undefined, 21, undefined, 23]);
    expect(byKind.get("earlier")).toEqual([10, 11, 12, undefined]);
  });

  it("of an unknown series is empty", () => {
    expect(seriesData(new Metrics(), "loss", { ...options, smoothing: 0 }).x).toEqual([]);
  });
});

describe("epochData", () => {
  const fields = [
    { label: "training", hue: 0, read: (epoch: EpochData) => epoch.averageLoss },
    { label: "validation", hue: 1, read: () => undefined },
  ];

  it("leaves out lines that no epoch has, and gaps where one epoch lacks a value", () => {
    const epochs = [
      epochOf({ epoch: 0, globalStep: 9n, averageLoss: 1 }),
      epochOf({ epoch: 1, globalStep: 19n }),
    ];
    const data = epochData(epochs, stepAxis, fields);
    expect(data.lines.map((line) => line.label)).toEqual(["training"]);
    expect(data.lines[0]?.values).toEqual([1, null]);
  });

  it("of an epoch trained twice shows the later attempt", () => {
    const epochs = [
      epochOf({ epoch: 0, globalStep: 9n, averageLoss: 1 }),
      epochOf({ epoch: 0, globalStep: 9n, averageLoss: 2, attempt: 1 }),
    ];
    expect(epochData(epochs, stepAxis, fields).lines[0]?.values).toEqual([2]);
  });

  it("marks a value that is not finite", () => {
    const epochs = [epochOf({ epoch: 0, globalStep: 9n, averageLoss: Number.NaN })];
    expect(epochData(epochs, stepAxis, fields).broken).toEqual([9]);
  });
});

describe("positiveOnly", () => {
  it("drops what a logarithmic axis cannot show", () => {
    expect(positiveOnly([1, 0, -2, null, undefined])).toEqual([1, null, null, null, undefined]);
  });
});
