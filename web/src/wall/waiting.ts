/** So many frames in a row that left something waiting show that it fills no gap. */
const STANDING_FRAMES = 40;
/** Where one that was let go was missed within so many frames, that takes longer: it will be again. */
const CAUTIOUS_FRAMES = 240;
const STANDING_CAUTIOUS_FRAMES = 120;
/** What comes to nothing waiting, so long after a frame, let another frame pass in between, ms. */
const GAP_MS = 18;
/** What comes less than this before a frame needs one in waiting, or it would soon miss that frame, ms. */
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
  private sinceLetGo = Number.POSITIVE_INFINITY;
  /** Whether a frame found nothing since one was let go. */
  private missed = false;
  private lastMs = Number.POSITIVE_INFINITY;

  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  get length(): number {
    return this.items.length;
  }

  push(item: T): void {
    const sinceMs = this.nowMs();
    this.missed ||= this.items.length === 0 && sinceMs - this.lastMs > GAP_MS;
    this.items.push({ item, sinceMs });
  }

  /** Take what this frame is to show: nothing, one, or one that has stood too long and the next. */
  due(): T[] {
    const nowMs = this.nowMs();
    const cautious = this.missed && this.sinceLetGo < CAUTIOUS_FRAMES;
    const standsTooLong = this.standing >= (cautious ? STANDING_CAUTIOUS_FRAMES : STANDING_FRAMES);
    const due = this.items.splice(0, standsTooLong ? 2 : 1);
    this.sinceLetGo = standsTooLong ? 0 : this.sinceLetGo + 1;
    this.missed &&= !standsTooLong;
    const next = this.items[0];
    const stands = next !== undefined && nowMs - next.sinceMs >= SLACK_MS;
    this.standing = stands && !standsTooLong ? this.standing + 1 : 0;
    this.lastMs = nowMs;
    return due.map(({ item }) => item);
  }

  /** Take all. */
  drain(): T[] {
    this.standing = 0;
    return this.items.splice(0).map(({ item }) => item);
  }
}
