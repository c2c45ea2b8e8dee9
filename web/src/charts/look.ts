import type { Marker } from "../store/commands";
import type { LineKind } from "./data";

/** The colours a chart takes from the theme. */
export interface ChartPalette {
  text: string;
  muted: string;
  grid: string;
  bad: string;
  panel: string;
  marker: string;
  font: string;
  hues: string[];
}

/** Read the colours of the theme in force. */
export function readChartPalette(): ChartPalette {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return {
    text: read("--text"),
    muted: read("--muted"),
    grid: read("--grid"),
    bad: read("--bad"),
    panel: read("--panel"),
    marker: read("--marker"),
    font: read("--mono"),
    hues: [1, 2, 3, 4, 5, 6].map((n) => read(`--hue-${n}`)),
  };
}

export function hueOf(palette: ChartPalette, index: number): string {
  return palette.hues[index % palette.hues.length] ?? palette.text;
}

/** A hex colour with an alpha, 0 to 1. */
export function faded(colour: string, alpha: number): string {
  const byte = Math.round(alpha * 255)
    .toString(16)
    .padStart(2, "0");
  return `${colour}${byte}`;
}

/** How wide, how strong and how broken each kind of line is. */
export function strokeOf(kind: LineKind, hasSmooth: boolean) {
  switch (kind) {
    case "smooth":
      return { width: 2.2, alpha: 1, dash: [] as number[] };
    case "raw":
      return { width: hasSmooth ? 1 : 1.6, alpha: hasSmooth ? 0.45 : 1, dash: [] as number[] };
    case "earlier":
      return { width: 1, alpha: 0.5, dash: [4, 4] };
    case "edge":
      return { width: 1, alpha: 0.3, dash: [] as number[] };
    default:
      return { width: 1.8, alpha: 1, dash: [] as number[] };
  }
}

/** One letter on a marker's flag, so that kinds differ by more than colour. */
export const MARKER_LETTER: Record<NonNullable<Marker["kind"]>, string> = {
  pause: "P",
  resume: "R",
  stop: "S",
  adjustLearningRate: "L",
  saveCheckpoint: "C",
  evaluate: "E",
  setControl: "K",
};
