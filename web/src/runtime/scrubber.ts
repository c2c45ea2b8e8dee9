import type { Failure } from "../rpc/failure";
import type { BatchData } from "../rpc/plain";
import { Store } from "../store/external";
import { FrameCache } from "../store/frames";

/** Who stands still for so long, in ms, may want the neighbours next. */
const STILL_MS = 350;
/** Neighbours fetched ahead on each side while one stands still. */
const AHEAD = 2;

/** A moment of the past that is looked at. */
export interface Moment {
  /** The step that was chosen. */
  step: number;
  /** The key frame on the wall; undefined until one has come. */
  frame: BatchData | undefined;
  /** Whether that is the nearest that was kept, or a nearer one is asked for. */
  asking: boolean;
  /** Why there is no picture; empty while nothing is wrong. */
  problem: string;
}

export interface ScrubberOptions {
  /** @throws Failure when there is no answer. */
  ask(step: number): Promise<BatchData>;
  /** The newest step that was trained; −1 while unknown. */
  lastStep(): number;
  /** Whether further frames may come. */
  growing(): boolean;
  /** Hold what is live. */
  onLookBack(): void;
  onFrame(frame: BatchData): void;
  onLive(): void;
}

/**
 * Looks back through time. Questions never pile up: one is on its way at most, and the newest
 * moment is asked for next. What was answered is kept, with what follows from it.
 */
export class Scrubber {
  /** The moment that is shown; undefined: what is live. */
  readonly moment = new Store<Moment | undefined>(undefined, 0);
  /** The same at the pace of reading: a drag changes the moment sixty times a second. */
  readonly shown = new Store<Moment | undefined>(undefined, 100);
  private readonly cache = new FrameCache();
  private asking = false;
  private still: ReturnType<typeof setTimeout> | undefined;
  private direction: 1 | -1 = -1;
  /** Changes when what was fetched is no longer true. */
  private generation = 0;

  constructor(private readonly options: ScrubberOptions) {}

  /** Look at a step, kept within the run. */
  goTo(step: number): void {
    const last = this.options.lastStep();
    const ceiling = last < 0 ? Number.MAX_SAFE_INTEGER : last;
    const chosen = Math.min(ceiling, Math.max(0, Math.round(step)));
    const before = this.moment.get();
    if (!Number.isFinite(chosen) || before?.step === chosen) return;
    if (before === undefined) this.options.onLookBack();
    this.direction = chosen < (before?.step ?? last) ? -1 : 1;
    this.tell({ step: chosen, frame: before?.frame, asking: true, problem: "" });
    this.pursue();
  }

  /** Back to what is live. */
  live(): void {
    clearTimeout(this.still);
    if (this.moment.get() === undefined) return;
    this.tell(undefined);
    this.options.onLive();
  }

  /** What was fetched is no longer true: another store, or steps that were trained again. */
  renew(): void {
    this.generation += 1;
    this.cache.clear();
    const moment = this.moment.get();
    if (moment === undefined) return;
    this.tell({ ...moment, asking: true });
    this.pursue();
  }

  close(): void {
    this.generation += 1;
    clearTimeout(this.still);
  }

  private pursue(): void {
    const moment = this.moment.get();
    if (moment === undefined) return;
    clearTimeout(this.still);
    const known = this.cache.find(moment.step);
    if (known !== undefined) {
      this.show(moment, known, false);
      this.standStill();
      return;
    }
    const near = this.cache.nearestHeld(moment.step);
    if (near !== undefined && near !== moment.frame) this.show(moment, near, true);
    if (!this.asking) void this.fetch(moment.step);
  }

  private show(moment: Moment, frame: BatchData, asking: boolean): void {
    this.tell({ step: moment.step, frame, asking, problem: "" });
    this.options.onFrame(frame);
  }

  private async fetch(step: number): Promise<void> {
    const { generation } = this;
    const answer = await this.ask(step);
    if (generation !== this.generation) {
      this.pursue();
      return;
    }
    const moment = this.moment.get();
    if (moment === undefined) return;
    if (moment.step !== step) this.pursue();
    else if ("frame" in answer) {
      this.show(moment, answer.frame, false);
      this.standStill();
    } else this.tell({ ...moment, asking: false, problem: answer.problem });
  }

  /** Ask, and keep the answer. */
  private async ask(step: number): Promise<{ frame: BatchData } | { problem: string }> {
    const { generation } = this;
    this.asking = true;
    try {
      const frame = await this.options.ask(step);
      if (generation === this.generation) this.cache.put(step, frame, this.options.growing());
      return { frame };
    } catch (failure) {
      return { problem: (failure as Failure).message };
    } finally {
      this.asking = false;
    }
  }

  private standStill(): void {
    clearTimeout(this.still);
    this.still = setTimeout(() => void this.lookAhead(), STILL_MS);
  }

  /** Fetch what lies beside the frame on the wall, first where one was going. */
  private async lookAhead(): Promise<void> {
    const moment = this.moment.get();
    const { direction } = this;
    if (moment?.frame === undefined) return;
    for (const way of direction > 0 ? ([1, -1] as const) : ([-1, 1] as const)) {
      for (let i = 0; i < AHEAD; i++) {
        const step = this.cache.frontier(moment.frame.globalStep, way);
        if (step < 0 || step > this.options.lastStep()) break;
        if (!(await this.learn(step, moment))) return;
      }
    }
  }

  /** Fetch what is nearest a step, for later; false when one has gone on, or there was no answer. */
  private async learn(step: number, moment: Moment): Promise<boolean> {
    if (this.asking || this.moment.get() !== moment) return false;
    const answer = await this.ask(step);
    if (this.moment.get() === moment) return "frame" in answer;
    this.pursue();
    return false;
  }

  private tell(moment: Moment | undefined): void {
    const turned = (moment === undefined) !== (this.moment.get() === undefined);
    this.moment.set(moment, true);
    this.shown.set(moment, turned);
  }
}
