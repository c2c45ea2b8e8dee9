import type { BatchData, ImageData } from "../rpc/plain";
import { Spans } from "./spans";

/** What a picture costs beside its bytes, in bytes. */
const OVERHEAD_BYTES = 4_000;
/** More spans than this are not worth their search: knowledge is dropped and gathered anew. */
const MOST_SPANS = 4_096;

/**
 * Key frames that were fetched, bounded in bytes, and what follows from them: that the frame nearest
 * a step lies `d` away means that there is none nearer. Where such knowledge covers the
 * neighbourhood of a step, the nearest frame is known without asking.
 */
export class FrameCache {
  /** By step, the one used last at the end. */
  private readonly frames = new Map<number, BatchData>();
  private bytes = 0;
  /** Steps of which it is known whether they have a frame, and that frame is held. */
  private readonly explored = new Spans();

  /** @param limitBytes what the frames may hold; the newest stays, however large. */
  constructor(private readonly limitBytes = 48_000_000) {}

  get length(): number {
    return this.frames.size;
  }

  /**
   * Keep the answer to "what is nearest to `step`".
   *
   * @param growing whether frames may still come after the newest: there nothing is concluded.
   */
  put(step: number, frame: BatchData, growing: boolean): void {
    const at = frame.globalStep;
    const distance = Math.abs(at - step);
    this.hold(at, frame);
    const settledStep = growing ? Math.max(...this.frames.keys()) : Number.POSITIVE_INFINITY;
    // Of two equally near either may have been told, so the far end of the reach stays unknown.
    const last = Math.min(step + distance - 1, settledStep);
    this.explored.add(Math.max(0, step - distance + 1), last);
    this.explored.add(at, at);
    if (this.explored.size > MOST_SPANS) this.forgetSpans();
    this.makeRoom(at);
  }

  /** The frame nearest a step, where that is known. */
  find(step: number): BatchData | undefined {
    const nearest = this.nearestHeld(step);
    if (nearest === undefined) return undefined;
    const distance = Math.abs(nearest.globalStep - step);
    const known = this.explored.covers(Math.max(0, step - distance + 1), step + distance - 1);
    if (!known) return undefined;
    this.touch(nearest.globalStep);
    return nearest;
  }

  /** The nearest frame at hand; there may be a nearer one that was never fetched. */
  nearestHeld(step: number): BatchData | undefined {
    let best: BatchData | undefined;
    for (const frame of this.frames.values()) {
      if (best === undefined || isNearer(frame.globalStep, best.globalStep, step)) best = frame;
    }
    return best;
  }

  /** The nearest step, upwards or downwards, of which nothing is known. */
  frontier(step: number, direction: 1 | -1): number {
    return this.explored.beyond(step, direction);
  }

  clear(): void {
    this.frames.clear();
    this.explored.clear();
    this.bytes = 0;
  }

  private hold(at: number, frame: BatchData): void {
    const known = this.frames.get(at);
    if (known !== undefined) this.bytes -= bytesOf(known);
    this.frames.delete(at);
    this.frames.set(at, frame);
    this.bytes += bytesOf(frame);
  }

  private touch(at: number): void {
    const frame = this.frames.get(at);
    if (frame === undefined) return;
    this.frames.delete(at);
    this.frames.set(at, frame);
  }

  private makeRoom(keep: number): void {
    for (const [at, frame] of this.frames) {
      if (this.bytes <= this.limitBytes) return;
      if (at === keep) continue;
      this.frames.delete(at);
      this.bytes -= bytesOf(frame);
      this.explored.remove(at);
    }
  }

  private forgetSpans(): void {
    this.explored.clear();
    for (const at of this.frames.keys()) this.explored.add(at, at);
  }
}

/** Of two equally near, the earlier. */
function isNearer(a: number, b: number, step: number): boolean {
  const closer = Math.abs(b - step) - Math.abs(a - step);
  return closer > 0 || (closer === 0 && a < b);
}

function bytesOf(frame: BatchData): number {
  const pictures: (ImageData | undefined)[] = [
    ...frame.images,
    ...frame.predictions.map((one) => one.mask),
    ...frame.groundTruth.map((one) => one.mask),
  ];
  const words = frame.texts.reduce((sum, { text }) => sum + 2 * text.length, 0);
  return pictures.reduce(
    (sum, picture) => sum + (picture?.imageBytes.byteLength ?? 0),
    OVERHEAD_BYTES + words,
  );
}
