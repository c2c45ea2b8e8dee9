import type { BoundingBox, GroundTruth, Prediction } from "../rpc/plain";
import { formatShare, formatValue } from "./format";
import type { Sample } from "./tiles";

/** A label counts as predicted from this probability on. */
const CHOSEN = 0.5;

/** Name of a class by its index. */
export function className(index: number, classNames: string[], label = ""): string {
  return label || (classNames[index] ?? `class ${index}`);
}

/** Whether a prediction is one of any number of classes: it has a class and a value for each. */
export function isMultiLabel(prediction: Prediction | undefined): boolean {
  const { values, predictedClass } = prediction ?? { values: [], predictedClass: -1 };
  return values.length > 0 && predictedClass >= 0;
}

/** The classes of a multi-label prediction that are more probable than not. */
export function chosenClasses(prediction: Prediction): number[] {
  return prediction.values.flatMap((value, index) => (value >= CHOSEN ? [index] : []));
}

/** What was predicted, in a few words. */
export function predictedWords(sample: Sample, classNames: string[]): string {
  const { prediction } = sample;
  if (prediction === undefined) return "";
  if (isMultiLabel(prediction)) return setWords(chosenClasses(prediction), classNames);
  if (prediction.predictedLabel !== "" || prediction.predictedClass >= 0) {
    return className(prediction.predictedClass, classNames, prediction.predictedLabel);
  }
  return otherWords(prediction);
}

/** What was true, in a few words. */
export function trueWords(sample: Sample, classNames: string[]): string {
  const { truth } = sample;
  if (truth === undefined) return "";
  if (truth.trueLabel !== "" || truth.trueClass >= 0) {
    return className(truth.trueClass, classNames, truth.trueLabel);
  }
  if (truth.trueClasses.length > 0 || isMultiLabel(sample.prediction)) {
    return setWords(truth.trueClasses, classNames);
  }
  return otherWords(truth);
}

function otherWords(side: Prediction | GroundTruth): string {
  if (side.text !== "") return side.text;
  if (side.boxes.length > 0) return boxWords(side.boxes);
  if (side.values.length > 0) return valuesWords(side.values);
  return side.mask ? "mask" : "";
}

function setWords(classes: number[], classNames: string[]): string {
  if (classes.length === 0) return "none";
  return classes.map((index) => className(index, classNames)).join(", ");
}

/** How many boxes, and of what: 3 boxes: 2 cat, dog. */
function boxWords(boxes: BoundingBox[]): string {
  const counts = new Map<string, number>();
  for (const { label } of boxes) if (label) counts.set(label, (counts.get(label) ?? 0) + 1);
  const labels = [...counts].map(([label, count]) => (count > 1 ? `${count} ${label}` : label));
  const many = `${boxes.length} ${boxes.length === 1 ? "box" : "boxes"}`;
  return labels.length > 0 ? `${many}: ${labels.join(", ")}` : many;
}

function valuesWords(values: number[]): string {
  const shown = values.slice(0, 3).map((value) => String(Number(value.toPrecision(3))));
  return values.length > 3 ? `${shown.join(" · ")} · …` : shown.join(" · ");
}

/** How far predicted values are from the true ones, of several on average; else undefined. */
export function errorOf(sample: Sample): number | undefined {
  const predicted = sample.prediction?.values ?? [];
  const truth = sample.truth?.values ?? [];
  if (predicted.length === 0 || predicted.length !== truth.length) return undefined;
  if (sample.prediction !== undefined && sample.prediction.predictedClass >= 0) return undefined;
  const sum = predicted.reduce((total, value, i) => total + Math.abs(value - (truth[i] ?? 0)), 0);
  return sum / predicted.length;
}

/** How well prediction and truth agree where there is no plain yes or no; empty: not known. */
export function agreementWords(sample: Sample): string {
  const { agreement } = sample;
  const error = errorOf(sample);
  if (error !== undefined) return `off by ${formatValue(error)}`;
  return agreement === undefined ? "" : `${formatShare(agreement, 0)} of pixels agree`;
}

/** A tile in words, for those who read instead of look. */
export function spokenWords(sample: Sample, classNames: string[]): string {
  const parts: string[] = [];
  const { text } = sample;
  if (text !== undefined && text.text !== "") parts.push(`text “${shortened(text.text)}”`);
  const predicted = predictedWords(sample, classNames);
  const truth = trueWords(sample, classNames);
  if (predicted) parts.push(`predicted ${shortened(predicted)}`);
  if (truth) parts.push(`true ${shortened(truth)}`);
  const agrees = agreementWords(sample);
  if (agrees) parts.push(agrees);
  if (sample.verdict !== "unknown") parts.push(sample.verdict);
  return parts.join(", ");
}

function shortened(text: string): string {
  return text.length > 120 ? `${text.slice(0, 119)}…` : text;
}
