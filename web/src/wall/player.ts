import type { BatchData } from "../rpc/plain";
import type { Arrangement, Overlay, Slot } from "../store/tiles";
import { type Palette, readPalette } from "./colours";
import { GRID, type Plan, planFor } from "./layout";
import { paintWall } from "./painter";
import { type Decoded, decodeBatch, type Marks, NO_MARKS, releaseDecoded, Stage } from "./stage";
import { Meter } from "./stats";
import { Waiting } from "./waiting";

export interface PlayerOptions {
  /** Tell the worker that the next picture may come. */
  acknowledge(): void;
  /** Batch end to now, ms; undefined while a clock is unknown. */
  latencyMs(batch: BatchData): number | undefined;
  classNames(): string[];
}

/** What stands on the wall, for those who read instead of look. */
export interface WallView {
  slots: Slot[];
  /** Pictures painted so far. */
  frame: number;
  /** Samples in the newest batch; 0 where a run sends none. */
  samples: number;
  /** How the tiles stand. */
  plan: Plan;
  /** What has to be explained beside the wall. */
  marks: Marks;
}

interface LivePicture extends Decoded {
  /** Whether it is news; else the newest of before. */
  live: boolean;
}

/** A wall on which nothing stands yet. */
export const EMPTY_WALL: WallView = {
  slots: [],
  frame: 0,
  samples: 0,
  plan: GRID,
  marks: NO_MARKS,
};

/**
 * Takes pictures from the worker and paints them straight to a canvas, one per screen refresh. Two
 * decoded pictures wait at most (see {@link Waiting}); while they do, the worker keeps only the newest.
 */
export class Player {
  readonly meter = new Meter();
  private readonly live = new Stage();
  /** Whether the past is looked at: live pictures are not painted meanwhile. */
  private looking = false;
  /** A moment of the past, once it was decoded. */
  private past: Stage | undefined;
  private wantedPast: BatchData | undefined;
  private shownPast: BatchData | undefined;
  private readonly queue = new Waiting<LivePicture>();
  private canvas: HTMLCanvasElement | undefined;
  private context: CanvasRenderingContext2D | undefined;
  private palette: Palette | undefined;
  private arrangement: Arrangement = { sortByLoss: false, wrongOnly: false };
  private frozen = false;
  private owesAck = false;
  private scheduled = 0;
  private dirty = false;
  private overlay: Overlay = "both";
  private shown: WallView = EMPTY_WALL;
  private readonly painted = new MessageChannel();
  private lastPainted: LivePicture | undefined;
  private generation = 0;
  /** The next live picture takes the place of all that came before it. */
  private outdated = false;

  constructor(private readonly options: PlayerOptions) {
    // A task posted from an animation frame runs after that frame was handed to the screen.
    this.painted.port1.onmessage = () => this.recordPaint();
  }

  /** Paint on this canvas from now on; undefined to let go of it. */
  attach(canvas: HTMLCanvasElement | undefined): void {
    this.canvas = canvas;
    this.context = canvas?.getContext("2d", { alpha: false }) ?? undefined;
    this.repaint();
  }

  /** Read the theme anew and paint. */
  refreshTheme(): void {
    this.palette = undefined;
    this.repaint();
  }

  setArrangement(arrangement: Arrangement): void {
    this.arrangement = arrangement;
    this.repaint();
  }

  setOverlay(overlay: Overlay): void {
    if (overlay === this.overlay) return;
    this.overlay = overlay;
    this.repaint();
  }

  /** Hold the picture while training goes on. */
  setFrozen(frozen: boolean): void {
    this.frozen = frozen;
    this.schedule();
  }

  /** What stands on the wall now. */
  view(): WallView {
    return this.shown;
  }

  /** Hold what is live; until a moment of the past is there, the wall stays as it is. */
  lookBack(): void {
    this.looking = true;
  }

  /** Show a moment of the past. While one is decoded, only the newest asked for waits. */
  showPast(batch: BatchData): void {
    this.looking = true;
    if (this.wantedPast === batch) return;
    const idle = this.wantedPast === undefined || this.wantedPast === this.shownPast;
    this.wantedPast = batch;
    if (idle) void this.decodePast();
  }

  /** Paint what is live again. */
  backToLive(): void {
    this.looking = false;
    this.wantedPast = undefined;
    this.shownPast = undefined;
    this.past?.clear();
    this.past = undefined;
    this.repaint();
  }

  private async decodePast(): Promise<void> {
    while (this.wantedPast !== undefined && this.wantedPast !== this.shownPast) {
      const batch = this.wantedPast;
      const decoded = await decodeBatch(batch);
      if (this.wantedPast === undefined) {
        releaseDecoded(decoded);
        return;
      }
      this.shownPast = batch;
      // One moment at a time: of the wrong ones, too, only those of this picture are shown.
      this.past?.clear();
      this.past ??= new Stage();
      this.past.take(decoded);
      this.repaint();
    }
  }

  /** Take a picture; acknowledged once there is room for another. */
  async take(batch: BatchData, live: boolean): Promise<void> {
    const { generation } = this;
    const decoded = await decodeBatch(batch);
    if (generation !== this.generation) {
      releaseDecoded(decoded);
      this.options.acknowledge();
      return;
    }
    this.queue.push({ ...decoded, live });
    if (this.queue.length > 1) this.owesAck = true;
    else this.options.acknowledge();
    this.schedule();
  }

  /** The store behind the pictures is another one: the next takes the place of all of them. */
  renew(): void {
    this.outdated = true;
    this.dropQueue();
  }

  /** Stop for good. */
  close(): void {
    cancelAnimationFrame(this.scheduled);
    this.painted.port1.onmessage = null;
    this.painted.port1.close();
    this.dropQueue();
    this.live.clear();
    this.backToLive();
  }

  private dropQueue(): void {
    this.generation += 1;
    for (const decoded of this.queue.drain()) releaseDecoded(decoded);
    this.payAck();
  }

  /** Paint what is there once more: the size, the theme or the order has changed. */
  repaint(): void {
    this.dirty = true;
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled === 0) this.scheduled = requestAnimationFrame(this.onFrame);
  }

  private readonly onFrame = (): void => {
    this.scheduled = 0;
    const held = this.frozen || this.looking;
    const due = held ? [] : this.queue.due();
    for (const picture of due) this.show(picture);
    const newest = due.at(-1);
    if (newest !== undefined || this.dirty) this.paint();
    if (newest !== undefined) this.lastPainted = newest;
    if (newest !== undefined) this.painted.port2.postMessage(0);
    if (this.queue.length > 0 && !held) this.schedule();
  };

  private show(picture: LivePicture): void {
    if (this.outdated) this.live.clear();
    this.outdated = false;
    this.live.take(picture);
    this.payAck();
  }

  private payAck(): void {
    if (!this.owesAck) return;
    this.owesAck = false;
    this.options.acknowledge();
  }

  private paint(): void {
    this.dirty = false;
    const stage = this.past ?? this.live;
    const slots = stage.slots(this.arrangement);
    const { samples, marks, art } = stage;
    this.shown = { ...this.shown, slots, plan: planFor(slots), samples, marks };
    const { canvas, context } = this;
    if (!canvas || !context) return;
    const scale = fitToScreen(canvas);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    this.palette ??= readPalette();
    const { palette } = this;
    paintWall(context, canvas.width / scale, canvas.height / scale, {
      slots,
      art,
      palette,
      overlay: this.overlay,
      classNames: this.options.classNames(),
    });
  }

  private recordPaint(): void {
    const painted = this.lastPainted;
    if (painted === undefined) return;
    this.shown = { ...this.shown, frame: this.shown.frame + 1 };
    const latencyMs = painted.live ? this.options.latencyMs(painted.batch) : undefined;
    this.meter.paintedStep(painted.batch.globalStep, latencyMs);
  }
}

/** Give the canvas as many pixels as it covers on the screen; returns pixels per CSS pixel. */
function fitToScreen(canvas: HTMLCanvasElement): number {
  const scale = Math.min(2, window.devicePixelRatio || 1);
  const width = Math.max(1, Math.round(canvas.clientWidth * scale));
  const height = Math.max(1, Math.round(canvas.clientHeight * scale));
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  return scale;
}
