import { Store } from "../store/external";
import type { Metrics } from "../store/metrics";
import type { Connection } from "./connection";

/** Points asked for per series: a little more than a chart has pixels. */
const MAX_POINTS = 2_000;
/** A zoom settles for so long before finer rows are asked for, in ms. */
const SETTLE_MS = 150;

/** A range of steps, both ends included. */
export interface StepRange {
  firstStep: number;
  lastStep: number;
}

export type HistoryState = "loading" | "ready" | "failed";

/** Fetches what was measured before the page came, and finer rows of what is zoomed into. */
export class History {
  readonly state = new Store<HistoryState>("loading", 0);
  /** The range on the charts; undefined follows the run. */
  readonly zoom = new Store<StepRange | undefined>(undefined, 0);
  private generation = 0;
  private expected = true;
  private settling: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly sessionId: string,
    private readonly connection: Connection,
    private readonly metrics: Metrics,
  ) {}

  /** What is held may have gaps: the next `load` asks again. */
  expect(): void {
    this.expected = true;
  }

  /** Fetch the history, unless it is there or on its way. */
  load(): void {
    if (!this.expected) return;
    this.expected = false;
    void this.fetch();
  }

  /** Show a range of steps, or follow the run again. */
  setZoom(range: StepRange | undefined): void {
    this.zoom.set(range, true);
    clearTimeout(this.settling);
    this.metrics.adoptDetail(undefined, []);
    if (range === undefined || this.isExact(range)) return;
    this.settling = setTimeout(() => void this.fetchDetail(range), SETTLE_MS);
  }

  /** The range on the charts: what is zoomed into, else the whole run. */
  range(): StepRange {
    const lastStep = Math.max(1, this.metrics.lastStep());
    return this.zoom.get() ?? { firstStep: 0, lastStep };
  }

  /** Zoom about the middle (factor below 1: closer), or move by a part of the width. */
  adjust(factor: number, shift: number): void {
    const { firstStep, lastStep } = this.range();
    const middle = (firstStep + lastStep) / 2 + (lastStep - firstStep) * shift;
    const half = ((lastStep - firstStep) / 2) * factor;
    this.zoomTo(middle - half, middle + half);
  }

  /** Zoom into steps given in any order, kept within the run; a range of all of it is no zoom. */
  zoomTo(from: number, to: number): void {
    const end = Math.max(1, this.metrics.lastStep());
    const firstStep = Math.max(0, Math.round(Math.min(from, to)));
    const lastStep = Math.min(end, Math.round(Math.max(from, to)));
    if (firstStep <= 0 && lastStep >= end) this.setZoom(undefined);
    else if (lastStep - firstStep >= 2) this.setZoom({ firstStep, lastStep });
  }

  close(): void {
    this.generation += 1;
    clearTimeout(this.settling);
  }

  private isExact(range: StepRange): boolean {
    const tracks = this.metrics.names().flatMap((name) => this.metrics.attempts(name));
    return tracks.every(({ columns }) => columns.isExact(range.firstStep, range.lastStep));
  }

  private async fetch(): Promise<void> {
    const generation = ++this.generation;
    this.state.set("loading");
    try {
      const series = await this.connection.call("queryMetrics", {
        sessionId: this.sessionId,
        maxPoints: MAX_POINTS,
        timestampMs: BigInt(Date.now()),
      });
      if (generation !== this.generation) return;
      this.metrics.adoptHistory(series);
      this.state.set("ready");
    } catch {
      // The link's own state says why; a reconnection asks again.
      if (generation !== this.generation) return;
      this.expected = true;
      this.state.set("failed");
    }
  }

  private async fetchDetail(range: StepRange): Promise<void> {
    const width = range.lastStep - range.firstStep;
    const firstStep = Math.max(0, Math.floor(range.firstStep - width * 0.1));
    const lastStep = Math.ceil(range.lastStep + width * 0.1);
    try {
      const series = await this.connection.call("queryMetrics", {
        sessionId: this.sessionId,
        firstStep: BigInt(firstStep),
        lastStep: BigInt(lastStep),
        maxPoints: MAX_POINTS,
        timestampMs: BigInt(Date.now()),
      });
      if (this.zoom.get() !== range) return;
      this.metrics.adoptDetail({ firstStep, lastStep }, series);
    } catch {
      // The overview stays on screen: coarser, and with every extreme.
      return;
    }
  }
}
