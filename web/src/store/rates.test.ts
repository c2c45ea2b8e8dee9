import { describe, expect, it } from "vitest";
import { MomentRing, RateMeter } from "./rates";

describe("RateMeter", () => {
  it("reads a steady sixty as sixty", () => {
    const meter = new RateMeter();
    for (let i = 0; i < 200; i++) meter.mark((i * 1000) / 60);
    expect(meter.rate((199 * 1000) / 60)).toBeCloseTo(60, 1);
  });

  it("falls to nothing when nothing happens any more", () => {
    const meter = new RateMeter();
    for (let i = 0; i < 60; i++) meter.mark(i * 16);
    expect(meter.rate(60 * 16 + 2_000)).toBe(0);
  });

  it("falls at once when events stop, not only after the window", () => {
    const meter = new RateMeter();
    for (let i = 0; i < 60; i++) meter.mark(i * 16);
    expect(meter.rate(59 * 16 + 700)).toBeLessThan(45);
  });

  it("reads one a second as about one", () => {
    const meter = new RateMeter();
    for (let i = 0; i < 5; i++) meter.mark(i * 1_000);
    expect(meter.rate(4_100)).toBeGreaterThan(0.6);
    expect(meter.rate(4_100)).toBeLessThan(1.4);
  });
});

describe("MomentRing", () => {
  it("keeps the newest, in one array that a reader may hold", () => {
    const ring = new MomentRing(3);
    const list = ring.list();
    for (let i = 0; i < 10; i++) ring.push(i);
    expect(list).toEqual([7, 8, 9]);
  });
});
