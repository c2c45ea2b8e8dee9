import { describe, expect, it } from "vitest";
import {
  formatAgo,
  formatBytes,
  formatCount,
  formatLatency,
  formatRate,
  formatSetting,
  formatSpan,
  formatValue,
} from "./format";

describe("formatting", () => {
  it.each([
    [undefined, "–"],
    [Number.NaN, "NaN"],
    [Number.POSITIVE_INFINITY, "∞"],
    [Number.NEGATIVE_INFINITY, "−∞"],
    [0, "0"],
    [0.04321, "0.0432"],
    [2.50261, "2.5026"],
    [123.456, "123.5"],
    [3e-7, "3.00e−7"],
    [2.5e9, "2.50e9"],
    [-1.5, "−1.5000"],
  ])("shows the value %s as %s", (value, words) => expect(formatValue(value)).toBe(words));

  it("shows settings as short as they are exact", () => {
    expect(formatSetting(0.05)).toBe("0.05");
    expect(formatSetting(1e-5)).toBe("0.00001");
    expect(formatSetting(3e-7)).toBe("3e−7");
  });

  it("groups digits thinly", () => {
    expect(formatCount(1234567)).toBe("1\u2009234\u2009567");
    expect(formatCount(999)).toBe("999");
  });

  it("shows rates with one decimal below a hundred", () => {
    expect(formatRate(59.94)).toBe("59.9");
    expect(formatRate(812.3)).toBe("812");
  });

  it("shows spans in the two units that matter", () => {
    expect(formatSpan(12_400)).toBe("12 s");
    expect(formatSpan(245_000)).toBe("4 m 05 s");
    expect(formatSpan(11_400_000)).toBe("3 h 10 m");
    expect(formatSpan(187_200_000)).toBe("2 d 4 h");
  });

  it("shows latencies, sizes and ages", () => {
    expect(formatLatency(14.2)).toBe("14 ms");
    expect(formatLatency(1_230)).toBe("1.2 s");
    expect(formatBytes(999)).toBe("999 B");
    expect(formatBytes(61_000_000)).toBe("61.0 MB");
    expect(formatAgo(0, 500)).toBe("now");
    expect(formatAgo(0, 61_000)).toBe("1 m 01 s ago");
  });
});
