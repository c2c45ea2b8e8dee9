import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Store } from "./external";

describe("Store", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it("tells its listeners at most so often, and always of the last value", () => {
    const store = new Store(0, 100);
    const told: number[] = [];
    store.subscribe(() => told.push(store.snapshot()));
    for (let i = 1; i <= 50; i++) store.set(i);
    expect(told.length).toBeLessThanOrEqual(1);
    vi.advanceTimersByTime(100);
    expect(told.at(-1)).toBe(50);
    expect(told.length).toBeLessThanOrEqual(2);
  });

  it("shows the same value until it tells, as React demands", () => {
    const store = new Store("a", 100);
    store.set("b", true);
    store.set("c");
    expect(store.snapshot()).toBe("b");
    expect(store.get()).toBe("c");
  });

  it("goes on telling when the time of day is set back", () => {
    const store = new Store(0, 100);
    const listener = vi.fn();
    store.subscribe(listener);
    store.set(1);
    vi.setSystemTime(Date.now() - 3_600_000);
    store.set(2);
    vi.advanceTimersByTime(100);
    expect(store.snapshot()).toBe(2);
  });

  it("tells at once what a person has just done", () => {
    const store = new Store(0, 10_000);
    const listener = vi.fn();
    store.subscribe(listener);
    store.set(1, true);
    store.set(2, true);
    expect(listener).toHaveBeenCalledTimes(2);
  });
});
