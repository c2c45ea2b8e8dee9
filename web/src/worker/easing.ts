/** Why fewer or smaller pictures are asked for than a page wants. */
export type Slow = "link" | "page";

/** What is asked for at each level: a part of the rate, and how often the tile's edge is halved. */
const LADDER = [
  { part: 1, halvings: 0 },
  { part: 1 / 2, halvings: 0 },
  { part: 1 / 4, halvings: 0 },
  { part: 1 / 4, halvings: 1 },
  { part: 1 / 8, halvings: 1 },
  { part: 1 / 8, halvings: 2 },
  { part: 1 / 16, halvings: 2 },
] as const;
const LEAST_RATE = 1;
const LEAST_TILE = 32;
/** A link holds back what it cannot carry: so much longer than ever, even the quickest is late, ms. */
const STANDING_MS = 250;
/** A page is slow that takes less than this part of what it was offered. */
const TAKEN = 0.75;
/** One slow window is a hiccup, on the way down and on the way up. */
const SLOW_WINDOWS = 2;
/** After so many quick windows a level is tried; each time it was too much, twice as many. */
const PATIENCE = 3;
const MOST_PATIENCE = 32;
/** A level that lasted for so many windows was not too much. */
const PROVEN_WINDOWS = 5;
/** Windows whose least delay is remembered: what the link can do. */
const REMEMBERED = 60;

/**
 * Asks for less while the link to this browser or the page is slow, and for more when it is not.
 * Pure: whoever holds it ends a window each second. Clocks need not agree: delays are compared with
 * the least of them. What was tried in vain is tried ever more seldom, each level by itself: one that
 * is too much says nothing of those below it.
 */
export class Easing {
  /** Why less is asked for; undefined: it is not. */
  slow: Slow | undefined;
  private level = 0;
  private quickestMs = Number.POSITIVE_INFINITY;
  private sentMs = Number.NEGATIVE_INFINITY;
  private readonly delaysMs: number[] = [];
  private slowWindows = 0;
  private quickWindows = 0;
  /** Level by level, the quick windows after which it is tried. */
  private readonly patience = LADDER.map(() => PATIENCE);
  private sinceMore = Number.POSITIVE_INFINITY;
  private resting = false;

  /** A picture that was sent then came now, by two clocks. */
  arrived(sentMs: number, nowMs: number): void {
    // They come as they were sent: the sender's clock was set back, and older delays tell nothing.
    if (sentMs < this.sentMs) {
      this.delaysMs.length = 0;
      this.quickestMs = Number.POSITIVE_INFINITY;
    }
    this.sentMs = sentMs;
    this.quickestMs = Math.min(this.quickestMs, nowMs - sentMs);
  }

  /** What to ask for in place of what is wanted. */
  ease(framesPerSecond: number, tileSize: number): [framesPerSecond: number, tileSize: number] {
    const { part, halvings } = LADDER[this.level] ?? LADDER[0];
    if (framesPerSecond <= 0 || this.level === 0) return [framesPerSecond, tileSize];
    const rate = Math.min(framesPerSecond, Math.max(LEAST_RATE, framesPerSecond * part));
    return [rate, Math.max(LEAST_TILE, tileSize >> halvings)];
  }

  /**
   * End a window.
   *
   * @param offered pictures that there were for the page, at the rate it wants.
   * @param taken those of them that it took; none: it is frozen, and says nothing.
   * @returns whether something else is to be asked for, or for another reason.
   */
  endWindow(offered: number, taken: number): boolean {
    const queuedMs = this.queuedMs();
    if (queuedMs === undefined) return false;
    this.sinceMore += 1;
    // What is on its way was asked for before.
    if (this.resting) {
      this.resting = false;
      return false;
    }
    const link = queuedMs > STANDING_MS;
    const page = taken > 0 && taken < offered * TAKEN;
    if (link || page) return this.noteSlow(link ? "link" : "page");
    return this.noteQuick();
  }

  /** How much later than ever the quickest picture of this window was; undefined: none came. */
  private queuedMs(): number | undefined {
    const quickest = this.quickestMs;
    if (!Number.isFinite(quickest)) return undefined;
    this.quickestMs = Number.POSITIVE_INFINITY;
    this.delaysMs.push(quickest);
    if (this.delaysMs.length > REMEMBERED) this.delaysMs.shift();
    return quickest - Math.min(...this.delaysMs);
  }

  private noteSlow(slow: Slow): boolean {
    this.slowWindows += 1;
    if (this.slowWindows < SLOW_WINDOWS) {
      this.quickWindows = Math.max(0, this.quickWindows - 1);
      return false;
    }
    this.quickWindows = 0;
    const before = this.slow;
    this.slow = slow;
    if (this.level === LADDER.length - 1) return slow !== before;
    if (this.sinceMore <= PROVEN_WINDOWS) {
      this.patience[this.level] = Math.min(MOST_PATIENCE, this.patienceFor(this.level) * 2);
    }
    this.change(1);
    return true;
  }

  private noteQuick(): boolean {
    this.slowWindows = 0;
    this.quickWindows += 1;
    // What is carried here is carried at every level below.
    if (this.quickWindows > PROVEN_WINDOWS) this.patience.fill(PATIENCE, this.level);
    if (this.level === 0 || this.quickWindows < this.patienceFor(this.level - 1)) return false;
    this.change(-1);
    this.sinceMore = 0;
    if (this.level === 0) this.slow = undefined;
    return true;
  }

  private patienceFor(level: number): number {
    return this.patience[level] ?? PATIENCE;
  }

  private change(by: 1 | -1): void {
    this.level += by;
    this.slowWindows = 0;
    this.quickWindows = 0;
    this.resting = true;
  }
}
