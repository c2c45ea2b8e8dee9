/** A value outside React that tells its listeners of changes, at most so often. */
export class Store<T> {
  private readonly listeners = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private shown: T;
  private toldMs = Number.NEGATIVE_INFINITY;

  /** @param everyMs least time between two notices; text at ten a second is read by nobody. */
  constructor(
    private value: T,
    private readonly everyMs = 150,
  ) {
    this.shown = value;
  }

  /** The newest value. */
  get(): T {
    return this.value;
  }

  /** The value as listeners last saw it: stable between notices, as React demands. */
  readonly snapshot = (): T => this.shown;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Replace the value; `now` tells listeners at once, for what a person has just done. */
  set(value: T, now = false): void {
    if (Object.is(value, this.value) && !now) return;
    this.value = value;
    const waitMs = this.toldMs + this.everyMs - performance.now();
    if (now || waitMs <= 0) this.tell();
    else this.timer ??= setTimeout(() => this.tell(), waitMs);
  }

  update(change: (value: T) => T, now = false): void {
    this.set(change(this.value), now);
  }

  private tell(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.toldMs = performance.now();
    this.shown = this.value;
    for (const listener of this.listeners) listener();
  }
}
