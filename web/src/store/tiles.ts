import type { BatchData, GroundTruth, ImageData, Prediction, TextData } from "../rpc/plain";

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
    };
  });
}

/** Whether a prediction was right; unknown where there is no yes or no, as in regression. */
export function verdictOf(
  prediction: Prediction | undefined,
  truth: GroundTruth | undefined,
): Verdict {
  if (prediction === undefined || truth === undefined) return "unknown";
  if (truth.trueClasses.length > 0 && prediction.values.length > 0) {
    const chosen = prediction.values.flatMap((value, index) => (value >= 0.5 ? [index] : []));
    return sameSet(chosen, truth.trueClasses) ? "right" : "wrong";
  }
  if (prediction.predictedClass < 0 || truth.trueClass < 0) return "unknown";
  return prediction.predictedClass === truth.trueClass ? "right" : "wrong";
}

function sameSet(a: number[], b: number[]): boolean {
  const set = new Set(b);
  return set.size === new Set(a).size && a.every((value) => set.has(value));
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

/** What was predicted, in a few words. */
export function predictedWords(sample: Sample, classNames: string[]): string {
  const { prediction } = sample;
  if (prediction === undefined) return "";
  if (prediction.predictedLabel !== "") return prediction.predictedLabel;
  if (prediction.predictedClass >= 0) {
    return classNames[prediction.predictedClass] ?? `class ${prediction.predictedClass}`;
  }
  if (prediction.text !== "") return prediction.text;
  if (prediction.boxes.length > 0) return counted(prediction.boxes.length, "box", "boxes");
  if (prediction.values.length > 0) return valuesWords(prediction.values);
  return prediction.mask ? "mask" : "";
}

/** What was true, in a few words. */
export function trueWords(sample: Sample, classNames: string[]): string {
  const { truth } = sample;
  if (truth === undefined) return "";
  if (truth.trueLabel !== "") return truth.trueLabel;
  if (truth.trueClass >= 0) return classNames[truth.trueClass] ?? `class ${truth.trueClass}`;
  if (truth.trueClasses.length > 0) {
    return truth.trueClasses.map((index) => classNames[index] ?? `class ${index}`).join(", ");
  }
  if (truth.text !== "") return truth.text;
  if (truth.boxes.length > 0) return counted(truth.boxes.length, "box", "boxes");
  if (truth.values.length > 0) return valuesWords(truth.values);
  return truth.mask ? "mask" : "";
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

function valuesWords(values: number[]): string {
  const shown = values.slice(0, 3).map((value) => String(Number(value.toPrecision(3))));
  return values.length > 3 ? `${shown.join(" · ")} · …` : shown.join(" · ");
}
