import type { MetricSeries } from "../rpc/plain";
import type { Row } from "./columns";
import type { Window } from "./decimate";
import { Details, newTrack, type Track } from "./details";

/** The series every dashboard knows by name. */
export const LOSS = "loss";
export const LEARNING_RATE = "learning_rate";

/** Rows held of all series together: at 56 bytes each, 60 MB. */
const MOST_ROWS = 1_100_000;
/** Rows a series may hold, however many series there are, and however few. */
const LEAST_ROWS = 256;
const GREATEST_ROWS = 32_768;

/** The attempts of each series by its name, oldest first. */
type Tracks = Map<string, Track[]>;

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
  /** Rows finer than the overview's, of the windows that were zoomed into. */
  readonly details = new Details();
  private tracks: Tracks = new Map();
  private count = 0;
  private last = -1;
  /** The names in order, until there is another one. */
  private ordered: string[] | undefined;
  /** What came since the store changed, until its history takes the place of what is shown. */
  private successor: Tracks | undefined;

  /** Rows as they happen. */
  addLive(series: MetricSeries[]): void {
    for (const one of series) {
      const { columns } = this.track(one, this.tracks);
      columns.addSeries(one);
      this.last = Math.max(this.last, columns.lastStep());
      if (this.successor !== undefined) this.track(one, this.successor).columns.addSeries(one);
      this.details.addLive(one);
      this.checkFinite(one);
    }
    this.version += 1;
  }

  /** The thinned history of the run so far. */
  adoptHistory(series: MetricSeries[]): void {
    if (this.successor !== undefined) this.succeed(this.successor);
    for (const one of series) {
      const { columns } = this.track(one, this.tracks);
      columns.adoptHistory(one);
      this.last = Math.max(this.last, columns.lastStep());
      this.checkFinite(one);
    }
    this.version += 1;
  }

  /** Finer rows of one window, of the series that were asked for. */
  adoptDetail(window: Window, names: string[], series: MetricSeries[]): void {
    for (const name of names) {
      const found = series.filter((one) => one.name === name);
      this.details.put(name, window, found, this.attempts(name));
    }
    this.version += 1;
  }

  /**
   * The store behind the stream is another one: what is shown stays until the next history comes,
   * which then takes its place, with the rows that come from now on.
   */
  expectSuccessor(): void {
    this.successor = new Map();
  }

  private succeed(successor: Tracks): void {
    this.tracks = successor;
    this.successor = undefined;
    this.ordered = undefined;
    this.details.clear();
    this.notFinite = undefined;
    this.recovered = false;
    const tracks = [...successor.values()].flat();
    this.count = tracks.length;
    this.last = tracks.reduce((last, { columns }) => Math.max(last, columns.lastStep()), -1);
    for (const track of tracks) this.checkTrack(track);
  }

  /** Names known, the loss and the learning rate first. */
  names(): string[] {
    const rank = (name: string) => (name === LOSS ? 0 : name === LEARNING_RATE ? 1 : 2);
    this.ordered ??= [...this.tracks.keys()].sort(
      (a, b) => rank(a) - rank(b) || a.localeCompare(b),
    );
    return this.ordered;
  }

  /** Every attempt of a series, oldest first. */
  attempts(name: string): Track[] {
    return this.tracks.get(name) ?? [];
  }

  /** The attempts to draw for a window: the fetched detail where it covers it, else the overview. */
  attemptsWithin(name: string, window: Window): Track[] {
    const overview = this.attempts(name);
    if (overview.every(({ columns }) => columns.isExact(window.firstStep, window.lastStep))) {
      return overview;
    }
    const fine = this.details.find(name, window)?.tracks.filter(({ columns }) => columns.length);
    if (fine === undefined || fine.length === 0) return overview;
    return fine.sort((a, b) => a.attempt - b.attempt);
  }

  /** Whether finer rows of a window are worth asking for. */
  isCoarse(name: string, window: Window): boolean {
    const exact = ({ columns }: Track) => columns.isExact(window.firstStep, window.lastStep);
    return !this.attempts(name).every(exact) && !this.details.suffices(name, window);
  }

  /** What is known of a series at a step, the newest attempt first; undefined: nothing. */
  rowAt(name: string, step: number): Row | undefined {
    const window = { firstStep: step, lastStep: step };
    const tracks = this.attemptsWithin(name, window).toReversed();
    for (const { columns } of tracks) {
      const row = columns.rowAt(step);
      if (row !== undefined) return row;
    }
    return undefined;
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

  /** The newest learning rate of each optimizer; those after the first number their series. */
  learningRates(): number[] {
    const rates: number[] = [];
    let rate = this.lastValue(LEARNING_RATE);
    while (rate !== undefined) {
      rates.push(rate);
      rate = this.lastValue(`${LEARNING_RATE}_${rates.length}`);
    }
    return rates;
  }

  /** The last step of any series; −1 before the first. */
  lastStep(): number {
    return this.last;
  }

  private track({ name, attempt }: MetricSeries, tracks: Tracks): Track {
    const attempts = tracks.get(name) ?? [];
    const found = attempts.find((track) => track.attempt === attempt);
    if (found !== undefined) return found;
    const track = newTrack(name, attempt, this.rowLimit);
    tracks.set(
      name,
      [...attempts, track].sort((a, b) => a.attempt - b.attempt),
    );
    this.count += 1;
    this.ordered = undefined;
    return track;
  }

  /** The more series there are, the fewer rows each of them may hold. */
  private readonly rowLimit = (): number => {
    const share = Math.floor(MOST_ROWS / Math.max(1, this.count));
    return Math.min(GREATEST_ROWS, Math.max(LEAST_ROWS, share));
  };

  private checkTrack({ name, columns }: Track): void {
    if (name !== LOSS) return;
    for (let i = 0; i < columns.length; i++) this.check(columns.steps[i], columns.values[i]);
  }

  private checkFinite(series: MetricSeries): void {
    if (series.name !== LOSS) return;
    for (let i = 0; i < series.values.length; i++) this.check(series.steps[i], series.values[i]);
  }

  private check(step = 0, value = 0): void {
    const known = this.notFinite;
    if (!Number.isFinite(value)) this.noteNotFinite(step, value);
    else if (known !== undefined && step > known.lastStep) this.recovered = true;
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
