import type { BatchData, GroundTruth, ImageData, Prediction, TextData } from "../rpc/plain";
import { chosenClasses, isMultiLabel } from "./words";

/** How many tiles the wall has. */
export const TILES = 16;

export type Verdict = "right" | "wrong" | "unknown";

/** One sample as the wall shows it. */
export interface Sample {
  /** Changes with every sample: step, attempt and index. */
  key: string;
  step: number;
  epoch: number;
  image: ImageData | undefined;
  text: TextData | undefined;
  prediction: Prediction | undefined;
  truth: GroundTruth | undefined;
  /** Loss of this sample; undefined where it is unknown. */
  loss: number | undefined;
  verdict: Verdict;
  /** On which part of the pixels masks agree, 0 to 1; undefined until both were decoded. */
  agreement: number | undefined;
}

/** The samples of a batch, at most sixteen. */
export function samplesOf(batch: BatchData): Sample[] {
  const count = Math.max(
    batch.images.length,
    batch.texts.length,
    batch.images.length + batch.texts.length === 0 ? batch.predictions.length : 0,
  );
  return Array.from({ length: Math.min(count, TILES) }, (_, index) => {
    const loss = batch.sampleLosses[index];
    const prediction = batch.predictions[index];
    const truth = batch.groundTruth[index];
    return {
      key: `${batch.attempt}:${batch.globalStep}:${index}`,
      step: batch.sampleSteps[index] ?? batch.globalStep,
      epoch: batch.epoch,
      image: batch.images[index],
      text: batch.texts[index],
      prediction,
      truth,
      loss: loss === undefined || Number.isNaN(loss) ? undefined : loss,
      verdict: verdictOf(prediction, truth),
      agreement: undefined,
    };
  });
}

/** Whether a prediction was right; unknown where there is no yes or no, as in regression. */
export function verdictOf(
  prediction: Prediction | undefined,
  truth: GroundTruth | undefined,
): Verdict {
  if (prediction === undefined || truth === undefined) return "unknown";
  if (isMultiLabel(prediction) && truth.trueClass < 0) {
    // Of very many classes only the first have a value: the others cannot be judged.
    if (truth.trueClasses.some((index) => index >= prediction.values.length)) return "unknown";
    return sameSet(chosenClasses(prediction), truth.trueClasses) ? "right" : "wrong";
  }
  if (prediction.predictedClass < 0 || truth.trueClass < 0) return "unknown";
  return prediction.predictedClass === truth.trueClass ? "right" : "wrong";
}

function sameSet(a: number[], b: number[]): boolean {
  const set = new Set(b);
  return set.size === new Set(a).size && a.every((value) => set.has(value));
}

/** Whether a sample is a text and nothing else: it wants lines, not a square. */
export function isText(sample: Sample): boolean {
  return sample.text !== undefined && sample.image === undefined;
}

/** Which masks and boxes lie over a picture. */
export const OVERLAYS = ["both", "predicted", "true", "none"] as const;
export type Overlay = (typeof OVERLAYS)[number];

/** The choice after one, and after the last the first. */
export function nextOverlay(overlay: Overlay): Overlay {
  return OVERLAYS[(OVERLAYS.indexOf(overlay) + 1) % OVERLAYS.length] ?? "both";
}

/** Whether a sample has something to lay over its picture. */
export function hasOverlay(sample: Sample): boolean {
  const sides = [sample.prediction, sample.truth];
  return sides.some(
    (side) => side !== undefined && (side.mask !== undefined || side.boxes.length > 0),
  );
}

export type Slot = Sample | undefined;

export interface Arrangement {
  sortByLoss: boolean;
  wrongOnly: boolean;
}

/**
 * Puts samples on the sixteen places. With "wrong only" a place keeps its sample until a newer
 * wrong one needs it, the oldest first, so that the wall stays still enough to be read.
 */
export class Wall {
  private newest: Slot[] = [];
  private wrong: Slot[] = new Array<Slot>(TILES).fill(undefined);
  private oldest = 0;

  /** Take the samples of a new batch. */
  take(samples: Sample[]): void {
    this.newest = Array.from({ length: TILES }, (_, index) => samples[index]);
    for (const sample of samples) {
      if (sample.verdict !== "wrong") continue;
      this.wrong[this.oldest] = sample;
      this.oldest = (this.oldest + 1) % TILES;
    }
  }

  /** What stands on each place now. */
  slots({ sortByLoss, wrongOnly }: Arrangement): Slot[] {
    const slots = wrongOnly ? [...this.wrong] : [...this.newest];
    if (sortByLoss) slots.sort((a, b) => lossOrder(b) - lossOrder(a));
    return slots;
  }

  /** Every sample that may still be shown, for letting go of the pictures of the others. */
  held(): Set<string> {
    const keys = new Set<string>();
    for (const slot of [...this.newest, ...this.wrong]) if (slot) keys.add(slot.key);
    return keys;
  }

  clear(): void {
    this.newest = [];
    this.wrong = new Array<Slot>(TILES).fill(undefined);
    this.oldest = 0;
  }
}

/** Greatest loss first, unknown ones after them, empty places last. */
function lossOrder(slot: Slot): number {
  if (slot === undefined) return Number.NEGATIVE_INFINITY;
  if (slot.loss === undefined) return -Number.MAX_VALUE;
  return slot.loss;
}
