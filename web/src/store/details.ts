import type { MetricSeries } from "../rpc/plain";
import { Columns } from "./columns";
import type { Window } from "./decimate";
import { Smoother } from "./smoothing";

/** One attempt of a series: what was measured since a checkpoint was last loaded. */
export interface Track {
  name: string;
  attempt: number;
  columns: Columns;
  smoother: Smoother;
}

export function newTrack(name: string, attempt: number, limit?: () => number): Track {
  return { name, attempt, columns: new Columns(limit), smoother: new Smoother() };
}

/** Rows of one series within a window, finer than the overview's. */
export interface Detail extends Window {
  name: string;
  tracks: Track[];
  /** Whether every row stands for a single value: finer there is not. */
  exact: boolean;
}

/** A detail serves a window that is so much narrower, before finer rows are worth a question. */
const WIDEST = 1.6;
/** Rows one series may have in a detail; live ones are added to it. */
const DETAIL_ROWS = 50_000;

/** Fetched details, bounded in rows; the one used last stays longest. */
export class Details {
  private readonly kept = new Set<Detail>();

  /** @param limitRows what they may hold in all; the newest stays, however long. */
  constructor(private readonly limitRows = 400_000) {}

  get size(): number {
    return this.kept.size;
  }

  /** The finest detail of a series that covers a window. */
  find(name: string, window: Window): Detail | undefined {
    let best: Detail | undefined;
    for (const detail of this.kept) {
      if (detail.name !== name || !covers(detail, window)) continue;
      if (best === undefined || widthOf(detail) < widthOf(best)) best = detail;
    }
    if (best !== undefined) {
      this.kept.delete(best);
      this.kept.add(best);
    }
    return best;
  }

  /** Whether there is a detail fine enough for a window. */
  suffices(name: string, window: Window): boolean {
    const detail = this.find(name, window);
    if (detail === undefined) return false;
    return detail.exact || widthOf(detail) <= WIDEST * widthOf(window);
  }

  /**
   * Keep what was fetched of a series: its attempts, each a series.
   *
   * @param newer the rows of the overview, of which those that came meanwhile are taken over.
   */
  put(name: string, window: Window, series: MetricSeries[], newer: Track[]): void {
    const { firstStep, lastStep } = window;
    const tracks = series.map((one) => trackOf(one, newer, lastStep));
    const exact = tracks.every(({ columns }) => columns.isExact(firstStep, lastStep));
    for (const old of this.kept) if (old.name === name && same(old, window)) this.kept.delete(old);
    this.kept.add({ name, firstStep, lastStep, tracks, exact });
    this.makeRoom();
  }

  /** Rows as they happen, for the windows that reach to them. */
  addLive(series: MetricSeries): void {
    const first = series.steps[0];
    if (first === undefined) return;
    for (const detail of this.kept) {
      if (detail.name !== series.name || first > detail.lastStep) continue;
      const track = detail.tracks.find(({ attempt }) => attempt === series.attempt);
      track?.columns.addSeries(series);
      // An attempt that began after the fetch: the window has to be fetched anew.
      if (track === undefined) this.kept.delete(detail);
    }
  }

  clear(): void {
    this.kept.clear();
  }

  private makeRoom(): void {
    const [newest, ...older] = [...this.kept].reverse();
    let rows = newest ? rowsOf(newest) : 0;
    for (const detail of older) {
      rows += rowsOf(detail);
      if (rows > this.limitRows) this.kept.delete(detail);
    }
  }
}

function rowsOf(detail: Detail): number {
  return detail.tracks.reduce((sum, { columns }) => sum + columns.steps.length, 0);
}

/** The rows fetched, and after them those that came live while they were on their way. */
function trackOf(series: MetricSeries, newer: Track[], lastStep: number): Track {
  const track = newTrack(series.name, series.attempt, () => DETAIL_ROWS);
  const { columns } = track;
  columns.addSeries(series);
  const live = newer.find(({ attempt }) => attempt === series.attempt)?.columns;
  if (live === undefined) return track;
  for (let i = live.lowerBound(columns.lastStep() + 1); i < live.length; i++) {
    const row = live.row(i);
    if (row.step > lastStep) break;
    columns.add(row);
  }
  return track;
}

function covers(detail: Window, window: Window): boolean {
  return detail.firstStep <= window.firstStep && detail.lastStep >= window.lastStep;
}

function same(a: Window, b: Window): boolean {
  return a.firstStep === b.firstStep && a.lastStep === b.lastStep;
}

function widthOf({ firstStep, lastStep }: Window): number {
  return lastStep - firstStep + 1;
}
