import { isText, type Slot } from "../store/tiles";

/** A rectangle in CSS pixels. */
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface TileBox {
  tile: Box;
  picture: Box;
  strip: Box;
}

/** How many tiles stand beside and below each other; a list has the words in one line under each. */
export interface Plan {
  columns: number;
  rows: number;
  isList: boolean;
}

/** Gap between tiles in CSS pixels. */
export const GAP = 6;

/** Sixteen squares, for pictures. */
export const GRID: Plan = { columns: 4, rows: 4, isList: false };

/** Lists of one, four, eight and sixteen places, for texts: few of them get long lines. */
const LISTS: readonly Plan[] = [
  { columns: 1, rows: 1, isList: true },
  { columns: 1, rows: 4, isList: true },
  { columns: 1, rows: 8, isList: true },
  { columns: 2, rows: 8, isList: true },
];

/** Height of the line of words under a text, in CSS pixels. */
const LINE_HEIGHT = 21;

/** The plan for what is to be shown. */
export function planFor(slots: Slot[]): Plan {
  const samples = slots.filter((slot) => slot !== undefined);
  if (samples.length === 0 || !samples.every(isText)) return GRID;
  const last = slots.findLastIndex((slot) => slot !== undefined);
  return LISTS.find((plan) => plan.columns * plan.rows > last) ?? GRID;
}

/** Where the tiles lie on a wall of this size: a picture or a text over words about it. */
export function layOut(width: number, height: number, plan: Plan = GRID): TileBox[] {
  const columns = cuts(width, plan.columns);
  const rows = cuts(height, plan.rows);
  return Array.from({ length: plan.columns * plan.rows }, (_, index) => {
    const [x, w] = columns[index % plan.columns] ?? [0, 0];
    const [y, h] = rows[Math.floor(index / plan.columns)] ?? [0, 0];
    const upper = plan.isList ? Math.max(0, h - LINE_HEIGHT) : Math.min(w, h);
    return {
      tile: { x, y, width: w, height: h },
      picture: { x, y, width: w, height: upper },
      strip: { x, y: y + upper, width: w, height: h - upper },
    };
  });
}

/** Start and length of each of some tiles along a side, in whole pixels within it. */
function cuts(length: number, count: number): [number, number][] {
  const size = (length - GAP * (count - 1)) / count;
  return Array.from({ length: count }, (_, i) => [Math.floor(i * (size + GAP)), Math.floor(size)]);
}

/** The largest box of an aspect that fits into another, centred. */
export function contain(box: Box, width: number, height: number): Box {
  const scale = Math.min(box.width / width, box.height / height);
  const w = width * scale;
  const h = height * scale;
  return { x: box.x + (box.width - w) / 2, y: box.y + (box.height - h) / 2, width: w, height: h };
}
