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

/** Tiles per side, and the gap between them in CSS pixels. */
export const SIDE = 4;
export const GAP = 6;

/** Where the sixteen tiles lie on a wall of this size: a square picture over a strip of words. */
export function layOut(width: number, height: number): TileBox[] {
  const columns = cuts(width);
  const rows = cuts(height);
  return Array.from({ length: SIDE * SIDE }, (_, index) => {
    const [x, w] = columns[index % SIDE] ?? [0, 0];
    const [y, h] = rows[Math.floor(index / SIDE)] ?? [0, 0];
    const pictureHeight = Math.min(w, h);
    return {
      tile: { x, y, width: w, height: h },
      picture: { x, y, width: w, height: pictureHeight },
      strip: { x, y: y + pictureHeight, width: w, height: h - pictureHeight },
    };
  });
}

/** Start and length of each of the four tiles along a side, in whole pixels within it. */
function cuts(length: number): [number, number][] {
  const size = (length - GAP * (SIDE - 1)) / SIDE;
  return Array.from({ length: SIDE }, (_, i) => [Math.floor(i * (size + GAP)), Math.floor(size)]);
}

/** The largest box of an aspect that fits into another, centred. */
export function contain(box: Box, width: number, height: number): Box {
  const scale = Math.min(box.width / width, box.height / height);
  const w = width * scale;
  const h = height * scale;
  return { x: box.x + (box.width - w) / 2, y: box.y + (box.height - h) / 2, width: w, height: h };
}
