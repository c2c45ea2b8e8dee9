import type { MetricSeries } from "../rpc/plain";
import { Columns } from "./columns";
import { Smoother } from "./smoothing";

/** The series every dashboard knows by name. */
export const LOSS = "loss";
export const LEARNING_RATE = "learning_rate";

/** One attempt of a series: what was measured since a checkpoint was last loaded. */
export interface Track {
  name: string;
  attempt: number;
  columns: Columns;
  smoother: Smoother;
}

/** Rows finer than the overview, fetched for the window on screen. */
export interface Detail {
  firstStep: number;
  lastStep: number;
  tracks: Track[];
}

/** Where a loss was not finite. */
export interface NotFinite {
  firstStep: number;
  lastStep: number;
  /** The newest such value. */
  value: number;
  /** How often it went from finite to not finite, as far as was seen. */
  episode: number;
}

/**
 * Every scalar of one session. Live rows come by `addLive`; the history, thinned by the monitor
 * with exact extremes, by `adoptHistory`; both in any order, merged by step.
 */
export class Metrics {
  /** Changes with every row, for whoever redraws. */
  version = 0;
  /** Set when the loss was ever NaN or infinite. */
  notFinite: NotFinite | undefined;
  /** Whether a finite loss came after the newest that was not. */
  private recovered = false;
  detail: Detail | undefined;
  private tracks = new Map<string, Track>();

  /** Rows as they happen. */
  addLive(series: MetricSeries[]): void {
    for (const one of series) {
      this.track(one.name, one.attempt).columns.addSeries(one);
      this.detailTrack(one)?.columns.addSeries(one);
      this.checkFinite(one);
    }
    this.version += 1;
  }

  /** The thinned history of the run so far. */
  adoptHistory(series: MetricSeries[]): void {
    for (const one of series) {
      this.track(one.name, one.attempt).columns.adoptHistory(one);
      this.checkFinite(one);
    }
    this.version += 1;
  }

  /** Finer rows of one window; undefined to drop what was there. */
  adoptDetail(
    window: { firstStep: number; lastStep: number } | undefined,
    series: MetricSeries[],
  ): void {
    this.detail = window && {
      ...window,
      tracks: series.map((one) => {
        const track = newTrack(one.name, one.attempt);
        track.columns.addSeries(one);
        return track;
      }),
    };
    this.version += 1;
  }

  /** Forget everything: the store behind the stream is another one. */
  clear(): void {
    this.tracks.clear();
    this.detail = undefined;
    this.notFinite = undefined;
    this.recovered = false;
    this.version += 1;
  }

  /** Names known, the loss and the learning rate first. */
  names(): string[] {
    const names = new Set([...this.tracks.values()].map((track) => track.name));
    const rank = (name: string) => (name === LOSS ? 0 : name === LEARNING_RATE ? 1 : 2);
    return [...names].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  }

  /** Every attempt of a series, oldest first. */
  attempts(name: string): Track[] {
    const found = [...this.tracks.values()].filter((track) => track.name === name);
    return found.sort((a, b) => a.attempt - b.attempt);
  }

  /** The attempts to draw for a window: the fetched detail where it covers it, else the overview. */
  attemptsWithin(name: string, window: { firstStep: number; lastStep: number }): Track[] {
    const { detail } = this;
    const covered =
      detail !== undefined &&
      detail.firstStep <= window.firstStep &&
      detail.lastStep >= window.lastStep;
    if (!covered) return this.attempts(name);
    const fine = detail.tracks.filter((track) => track.name === name);
    return fine.length > 0 ? fine.sort((a, b) => a.attempt - b.attempt) : this.attempts(name);
  }

  /** The newest attempt of a series. */
  newest(name: string): Track | undefined {
    const attempts = this.attempts(name);
    return attempts[attempts.length - 1];
  }

  /** The newest value of a series. */
  lastValue(name: string): number | undefined {
    const columns = this.newest(name)?.columns;
    return columns && columns.length > 0 ? columns.values[columns.length - 1] : undefined;
  }

  /** The last step of any series; −1 before the first. */
  lastStep(): number {
    let last = -1;
    for (const { columns } of this.tracks.values()) {
      if (columns.length > 0) last = Math.max(last, columns.steps[columns.length - 1] ?? -1);
    }
    return last;
  }

  private track(name: string, attempt: number): Track {
    const key = `${attempt}:${name}`;
    const found = this.tracks.get(key);
    if (found !== undefined) return found;
    const track = newTrack(name, attempt);
    this.tracks.set(key, track);
    return track;
  }

  /** The detail's track of a series, while the window reaches the newest step. */
  private detailTrack(series: MetricSeries): Track | undefined {
    const first = series.steps[0];
    if (this.detail === undefined || first === undefined || first > this.detail.lastStep) return;
    return this.detail.tracks.find(
      (track) => track.name === series.name && track.attempt === series.attempt,
    );
  }

  private checkFinite(series: MetricSeries): void {
    if (series.name !== LOSS) return;
    for (let i = 0; i < series.values.length; i++) {
      const value = series.values[i] ?? 0;
      const step = series.steps[i] ?? 0;
      const known = this.notFinite;
      if (!Number.isFinite(value)) this.noteNotFinite(step, value);
      else if (known !== undefined && step > known.lastStep) this.recovered = true;
    }
  }

  private noteNotFinite(step: number, value: number): void {
    const known = this.notFinite;
    if (known === undefined) {
      this.notFinite = { firstStep: step, lastStep: step, value, episode: 1 };
    } else if (step > known.lastStep) {
      const episode = known.episode + (this.recovered ? 1 : 0);
      this.recovered = false;
      this.notFinite = { ...known, lastStep: step, value, episode };
    } else if (step < known.firstStep) {
      this.notFinite = { ...known, firstStep: step };
    }
  }
}

function newTrack(name: string, attempt: number): Track {
  return { name, attempt, columns: new Columns(), smoother: new Smoother() };
}
