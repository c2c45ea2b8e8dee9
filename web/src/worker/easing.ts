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
/** One slow window is a hiccup. */
const SLOW_WINDOWS = 2;
/** After so many quick windows more is tried; each time that was too much, twice as many. */
const PATIENCE = 3;
const MOST_PATIENCE = 32;
/** More that lasted for so many windows was not too much. */
const PROVEN_WINDOWS = 5;
/** Windows whose least delay is remembered: what the link can do. */
const REMEMBERED = 60;

/**
 * Asks for less while the link to this browser or the page is slow, and for more when it is not.
 * Pure: whoever holds it ends a window each second. Clocks need not agree: delays are compared with
 * the least of them.
 */
export class Easing {
  /** Why less is asked for; undefined: it is not. */
  slow: Slow | undefined;
  private level = 0;
  private quickestMs = Number.POSITIVE_INFINITY;
  private readonly delaysMs: number[] = [];
  private slowWindows = 0;
  private quickWindows = 0;
  private patience = PATIENCE;
  private sinceMore = Number.POSITIVE_INFINITY;
  private resting = false;

  /** A picture came so long after it was sent, by two clocks. */
  arrived(delayMs: number): void {
    this.quickestMs = Math.min(this.quickestMs, delayMs);
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
   * @returns whether something else is to be asked for.
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
    this.quickWindows = 0;
    this.slowWindows += 1;
    if (this.slowWindows < SLOW_WINDOWS || this.level === LADDER.length - 1) return false;
    if (this.sinceMore <= PROVEN_WINDOWS) {
      this.patience = Math.min(MOST_PATIENCE, this.patience * 2);
    }
    this.slow = slow;
    this.change(1);
    return true;
  }

  private noteQuick(): boolean {
    this.slowWindows = 0;
    this.quickWindows += 1;
    if (this.level === 0) {
      if (this.quickWindows > PROVEN_WINDOWS) this.patience = PATIENCE;
      return false;
    }
    if (this.quickWindows < this.patience) return false;
    this.change(-1);
    this.sinceMore = 0;
    if (this.level === 0) this.slow = undefined;
    return true;
  }

  private change(by: 1 | -1): void {
    this.level += by;
    this.slowWindows = 0;
    this.quickWindows = 0;
    this.resting = true;
  }
}
