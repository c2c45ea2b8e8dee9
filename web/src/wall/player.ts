import type { BatchData } from "../rpc/plain";
import {
  type Arrangement,
  hasOverlay,
  type Overlay,
  type Sample,
  type Slot,
  samplesOf,
  Wall,
} from "../store/tiles";
import { type Art, decodeArt, judged, releaseArt } from "./art";
import { type Palette, readPalette } from "./colours";
import { GRID, type Plan, planFor } from "./layout";
import { paintWall } from "./painter";
import { Meter } from "./stats";
import { isScored } from "./text";

interface Decoded {
  batch: BatchData;
  live: boolean;
  art: Map<string, Art>;
}

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

/** Marks on the tiles that are not plain pictures. */
export interface Marks {
  /** Masks or boxes. */
  overlays: boolean;
  /** Tokens with a loss. */
  tokens: boolean;
}

/** A wall on which nothing stands yet. */
export const EMPTY_WALL: WallView = {
  slots: [],
  frame: 0,
  samples: 0,
  plan: GRID,
  marks: { overlays: false, tokens: false },
};

/**
 * Takes pictures from the worker and paints them straight to a canvas, one per screen refresh. Two
 * decoded pictures wait at most: that evens out a source and a screen that beat against each other;
 * while they wait, the worker keeps only the newest.
 */
export class Player {
  readonly meter = new Meter();
  private readonly wall = new Wall();
  private readonly art = new Map<string, Art>();
  private readonly queue: Decoded[] = [];
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
  private lastPainted: Decoded | undefined;
  private generation = 0;

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

  /** The decoded pictures of a sample on the wall. */
  artOf(key: string): Art | undefined {
    return this.art.get(key);
  }

  /** Take a picture; acknowledged once there is room for another. */
  async take(batch: BatchData, live: boolean): Promise<void> {
    const { generation } = this;
    const art = new Map<string, Art>();
    const decode = async (sample: Sample) => art.set(sample.key, await decodeArt(sample));
    await Promise.all(samplesOf(batch).map(decode));
    if (generation !== this.generation) {
      for (const one of art.values()) releaseArt(one);
      this.options.acknowledge();
      return;
    }
    this.queue.push({ batch, live, art });
    if (this.queue.length > 1) this.owesAck = true;
    else this.options.acknowledge();
    this.schedule();
  }

  /** Forget every picture: another session, or another store. */
  clear(): void {
    this.generation += 1;
    this.wall.clear();
    for (const decoded of this.queue.splice(0)) {
      for (const art of decoded.art.values()) releaseArt(art);
    }
    this.releaseUnheld();
    this.payAck();
    this.repaint();
  }

  /** Stop for good. */
  close(): void {
    cancelAnimationFrame(this.scheduled);
    this.painted.port1.onmessage = null;
    this.painted.port1.close();
    this.clear();
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
    const next = this.frozen ? undefined : this.queue.shift();
    if (next !== undefined) this.show(next);
    if (next !== undefined || this.dirty) this.paint();
    if (next !== undefined) this.lastPainted = next;
    if (next !== undefined) this.painted.port2.postMessage(0);
    if (this.queue.length > 0 && !this.frozen) this.schedule();
  };

  private show(decoded: Decoded): void {
    for (const [key, art] of decoded.art) this.art.set(key, art);
    const samples = judged(samplesOf(decoded.batch), decoded.art);
    this.wall.take(samples);
    const marks = {
      overlays: samples.some(hasOverlay),
      tokens: samples.some(({ text }) => text !== undefined && isScored(text)),
    };
    this.shown = { ...this.shown, samples: samples.length, marks };
    this.releaseUnheld();
    this.payAck();
  }

  private releaseUnheld(): void {
    const held = this.wall.held();
    for (const [key, art] of this.art) {
      if (held.has(key)) continue;
      releaseArt(art);
      this.art.delete(key);
    }
  }

  private payAck(): void {
    if (!this.owesAck) return;
    this.owesAck = false;
    this.options.acknowledge();
  }

  private paint(): void {
    this.dirty = false;
    const slots = this.wall.slots(this.arrangement);
    this.shown = { ...this.shown, slots, plan: planFor(slots) };
    const { canvas, context } = this;
    if (!canvas || !context) return;
    const scale = fitToScreen(canvas);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    this.palette ??= readPalette();
    const { palette, art } = this;
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
