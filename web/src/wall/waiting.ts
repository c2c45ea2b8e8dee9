/** So many frames in a row that left something waiting show that it never had to fill a gap. */
const STANDING_FRAMES = 40;
/** What came less before a frame than this would, as that frame's own, soon come too late, ms. */
const SLACK_MS = 5;

/**
 * What waits for the screen, oldest first. It evens out a source and a screen that beat against each
 * other: where one comes late, another is there. But a frame that the screen misses leaves one more
 * waiting for good, as both are equally fast, and makes all that follow a frame older. So the queue
 * is judged by its least delay over a while, as routers' are (CoDel, RFC 8289): what stood all the
 * time goes together with the next.
 */
export class Waiting<T> {
  private readonly items: { item: T; sinceMs: number }[] = [];
  private standing = 0;

  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  get length(): number {
    return this.items.length;
  }

  push(item: T): void {
    this.items.push({ item, sinceMs: this.nowMs() });
  }

  /** Take what this frame is to show: nothing, one, or one that has stood too long and the next. */
  due(): T[] {
    const due = this.items.splice(0, this.standing < STANDING_FRAMES ? 1 : 2);
    const next = this.items[0];
    const stands = next !== undefined && this.nowMs() - next.sinceMs >= SLACK_MS;
    this.standing = due.length === 1 && stands ? this.standing + 1 : 0;
    return due.map(({ item }) => item);
  }

  /** Take all. */
  drain(): T[] {
    this.standing = 0;
    return this.items.splice(0).map(({ item }) => item);
  }
}
