import type { Failure } from "../rpc/failure";
import { Store } from "../store/external";
import type { Metrics } from "../store/metrics";
import type { Connection } from "./connection";

/** Rows asked for per series: about as many as there are pixels, each with its exact extremes. */
const LEAST_POINTS = 256;
const MOST_POINTS = 2_000;
/** Fewer than this are worth no question, though an answer be too large for the monitor. */
const FEWEST_POINTS = 32;
/** A zoom settles for so long before finer rows are asked for, in ms. */
const SETTLE_MS = 120;
/** So much of the width is fetched beyond either edge, for moving about. */
const MARGIN = 0.1;

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
  private asking = false;
  /** Charts on screen by the series they show, with their widths in pixels. */
  private readonly looked = new Map<symbol, { name: string; width: number }>();

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

  /** A chart shows a series on so many pixels: only such series are refined. Returns the undoing. */
  look(name: string, width: number): () => void {
    const key = Symbol(name);
    this.looked.set(key, { name, width });
    this.refineSoon();
    return () => this.looked.delete(key);
  }

  /** Show a range of steps, or follow the run again. */
  setZoom(range: StepRange | undefined): void {
    this.zoom.set(range, true);
    this.refineSoon();
  }

  /** The range on the charts: what is zoomed into, else the whole run. */
  range(): StepRange {
    const lastStep = Math.max(1, this.metrics.lastStep());
    return this.zoom.get() ?? { firstStep: 0, lastStep };
  }

  /** Zoom about the middle (factor below 1: closer), or move by a part of the width. */
  adjust(factor: number, shift: number): void {
    const { firstStep, lastStep } = this.range();
    this.zoomAbout((firstStep + lastStep) / 2, factor, shift);
  }

  /** Zoom about a step, which stays where it is on the screen. */
  zoomAbout(step: number, factor: number, shift = 0): void {
    const { firstStep, lastStep } = this.range();
    const moved = (lastStep - firstStep) * shift;
    const from = step - (step - firstStep) * factor + moved;
    this.zoomTo(from, step + (lastStep - step) * factor + moved);
  }

  /** Zoom into steps given in any order, kept within the run; a range of all of it is no zoom. */
  zoomTo(from: number, to: number): void {
    const end = Math.max(1, this.metrics.lastStep());
    const firstStep = Math.max(0, Math.round(Math.min(from, to)));
    const lastStep = Math.min(end, Math.round(Math.max(from, to)));
    if (firstStep <= 0 && lastStep >= end) this.setZoom(undefined);
    else if (lastStep - firstStep >= 2) this.setZoom({ firstStep, lastStep });
  }

  /** Bring a step on screen: a zoomed range moves along. */
  reveal(step: number): void {
    const zoom = this.zoom.get();
    if (zoom === undefined || (step >= zoom.firstStep && step <= zoom.lastStep)) return;
    const half = Math.round((zoom.lastStep - zoom.firstStep) / 2);
    const middle = Math.min(Math.max(step, half), Math.max(half, this.metrics.lastStep() - half));
    this.zoomTo(middle - half, middle + half);
  }

  close(): void {
    this.generation += 1;
    clearTimeout(this.settling);
  }

  private async fetch(): Promise<void> {
    const generation = ++this.generation;
    this.state.set("loading");
    try {
      const series = await this.query({}, screenPoints());
      if (generation !== this.generation) return;
      this.metrics.adoptHistory(series);
      this.state.set("ready");
      this.refineSoon();
    } catch {
      // The link's own state says why; a reconnection asks again.
      if (generation !== this.generation) return;
      this.expected = true;
      this.state.set("failed");
    }
  }

  /** Of very many series an answer may be too large: then fewer rows of each are asked for. */
  private async query(what: { series?: string[]; range?: StepRange }, points: number) {
    for (let maxPoints = points; ; maxPoints = Math.floor(maxPoints / 2)) {
      try {
        return await this.connection.call("queryMetrics", {
          sessionId: this.sessionId,
          series: what.series ?? [],
          ...(what.range === undefined ? {} : wireRange(what.range)),
          maxPoints,
          timestampMs: BigInt(Date.now()),
        });
      } catch (failure) {
        const tooLarge = (failure as Failure).fault === "overflow";
        if (!tooLarge || maxPoints / 2 < FEWEST_POINTS) throw failure;
      }
    }
  }

  private refineSoon(): void {
    clearTimeout(this.settling);
    if (this.zoom.get() === undefined) return;
    this.settling = setTimeout(() => void this.refine(), SETTLE_MS);
  }

  /** Fetch finer rows of what is on screen: one question at a time, and the newest range next. */
  private async refine(): Promise<void> {
    const range = this.zoom.get();
    if (range === undefined || this.asking) return;
    const shown = [...this.looked.values()].filter(({ name }) =>
      this.metrics.isCoarse(name, range),
    );
    if (shown.length === 0) return;
    const names = [...new Set(shown.map(({ name }) => name))];
    const padded = withMargin(range);
    const { generation } = this;
    this.asking = true;
    try {
      const points = pointsFor(Math.max(...shown.map(({ width }) => width)));
      const series = await this.query({ series: names, range: padded }, points);
      // An answer of before a reset is of another store.
      if (generation === this.generation) this.metrics.adoptDetail(padded, names, series);
    } catch {
      // The overview stays on screen: coarser, and with every extreme.
      return;
    } finally {
      this.asking = false;
    }
    await this.refine();
  }
}

function wireRange({ firstStep, lastStep }: StepRange) {
  return { firstStep: BigInt(firstStep), lastStep: BigInt(lastStep) };
}

function withMargin({ firstStep, lastStep }: StepRange): StepRange {
  const margin = Math.ceil((lastStep - firstStep) * MARGIN);
  return { firstStep: Math.max(0, firstStep - margin), lastStep: lastStep + margin };
}

/** Rows for a chart of some pixels, its margins included. */
function pointsFor(width: number): number {
  return Math.min(MOST_POINTS, Math.max(LEAST_POINTS, Math.ceil(width * (1 + 2 * MARGIN))));
}

/** Rows for the widest chart this screen may show. */
function screenPoints(): number {
  return pointsFor(globalThis.innerWidth ?? 1_200);
}
