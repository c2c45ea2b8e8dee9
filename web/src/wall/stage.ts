import type { BatchData } from "../rpc/plain";
import { type Arrangement, hasOverlay, type Slot, samplesOf, Wall } from "../store/tiles";
import { type Art, decodeArt, judged, releaseArt } from "./art";
import { isScored } from "./text";

/** A batch with its pictures decoded. */
export interface Decoded {
  batch: BatchData;
  /** By the key of the sample. */
  art: Map<string, Art>;
}

/** Marks on the tiles that are not plain pictures. */
export interface Marks {
  /** Masks or boxes. */
  overlays: boolean;
  /** Tokens with a loss. */
  tokens: boolean;
}

export const NO_MARKS: Marks = { overlays: false, tokens: false };

/** Decode every sample of a batch. */
export async function decodeBatch(batch: BatchData): Promise<Decoded> {
  const art = new Map<string, Art>();
  await Promise.all(
    samplesOf(batch).map(async (sample) => art.set(sample.key, await decodeArt(sample))),
  );
  return { batch, art };
}

/** Give the memory of pictures back that were never put on a stage. */
export function releaseDecoded({ art }: Decoded): void {
  for (const one of art.values()) releaseArt(one);
}

/** Samples on a wall with their decoded pictures, which it lets go of when their samples leave. */
export class Stage {
  /** Samples in the newest batch; 0 where a run sends none. */
  samples = 0;
  marks: Marks = NO_MARKS;
  readonly art = new Map<string, Art>();
  private readonly wall = new Wall();

  /** Put the samples of a batch on the wall. */
  take({ batch, art }: Decoded): void {
    for (const [key, one] of art) {
      const known = this.art.get(key);
      if (known !== undefined) releaseArt(known);
      this.art.set(key, one);
    }
    const samples = judged(samplesOf(batch), art);
    this.wall.take(samples);
    this.samples = samples.length;
    this.marks = {
      overlays: samples.some(hasOverlay),
      tokens: samples.some(({ text }) => text !== undefined && isScored(text)),
    };
    this.releaseUnheld();
  }

  /** What stands on each place. */
  slots(arrangement: Arrangement): Slot[] {
    return this.wall.slots(arrangement);
  }

  /** Forget every sample. */
  clear(): void {
    this.wall.clear();
    this.releaseUnheld();
  }

  private releaseUnheld(): void {
    const held = this.wall.held();
    for (const [key, one] of this.art) {
      if (held.has(key)) continue;
      releaseArt(one);
      this.art.delete(key);
    }
  }
}
