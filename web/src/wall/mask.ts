import { classColour } from "./colours";

/** Pixels of no class: ignored, or of none of several. */
export const NO_CLASS = 255;

const FILL_ALPHA = 120;
const EDGE_ALPHA = 225;

/** The class of each pixel of one sample, painted when it is first looked at. */
export class Mask {
  private readonly layers = new Map<boolean, OffscreenCanvas>();

  constructor(
    readonly classes: Uint8Array,
    readonly width: number,
    readonly height: number,
  ) {}

  /** The classes as see-through colours, or only where they meet. */
  layer(outline: boolean): OffscreenCanvas {
    const kept = this.layers.get(outline);
    if (kept !== undefined) return kept;
    const canvas = new OffscreenCanvas(this.width, this.height);
    const pixels = new ImageData(this.width, this.height);
    const paint = outline ? paintOutline : paintFill;
    paint(new Uint32Array(pixels.data.buffer), this.classes, this.width);
    canvas.getContext("2d")?.putImageData(pixels, 0, 0);
    this.layers.set(outline, canvas);
    return canvas;
  }
}

/** Fill each class but the first, the background, with its colour; its rim is stronger. */
export function paintFill(pixels: Uint32Array, classes: Uint8Array, width: number): void {
  for (let i = 0; i < classes.length; i++) {
    const own = classes[i] ?? NO_CLASS;
    if (own === 0 || own === NO_CLASS) continue;
    const edge = nextDiffers(classes, i, width) || previousDiffers(classes, i, width);
    pixels[i] = edge ? (EDGES[own] ?? 0) : (FILLS[own] ?? 0);
  }
}

/** Draw where classes meet: white on one side and dark on the other, to be seen on any picture. */
export function paintOutline(pixels: Uint32Array, classes: Uint8Array, width: number): void {
  for (let i = 0; i < classes.length; i++) {
    if (nextDiffers(classes, i, width)) pixels[i] = WHITE;
    else if (previousDiffers(classes, i, width)) pixels[i] = DARK;
  }
}

function nextDiffers(classes: Uint8Array, at: number, width: number): boolean {
  const own = classes[at];
  if ((at + 1) % width !== 0 && classes[at + 1] !== own) return true;
  return (classes[at + width] ?? own) !== own;
}

function previousDiffers(classes: Uint8Array, at: number, width: number): boolean {
  const own = classes[at];
  if (at % width !== 0 && classes[at - 1] !== own) return true;
  return (classes[at - width] ?? own) !== own;
}

/** The part of the pixels of known truth on which two masks agree; undefined: there are none. */
export function agreementOf(predicted: Mask, truth: Mask): number | undefined {
  let known = 0;
  let same = 0;
  for (let y = 0; y < truth.height; y++) {
    const row = Math.floor(((y + 0.5) * predicted.height) / truth.height) * predicted.width;
    for (let x = 0; x < truth.width; x++) {
      const wanted = truth.classes[y * truth.width + x];
      if (wanted === NO_CLASS) continue;
      known += 1;
      const column = Math.floor(((x + 0.5) * predicted.width) / truth.width);
      if (predicted.classes[row + column] === wanted) same += 1;
    }
  }
  return known === 0 ? undefined : same / known;
}

/** A pixel as canvases keep it in memory, on machines of either byte order. */
function packed(red: number, green: number, blue: number, alpha: number): number {
  return new Uint32Array(new Uint8ClampedArray([red, green, blue, alpha]).buffer)[0] ?? 0;
}

const INDICES = Array.from({ length: 256 }, (_, index) => index);
const FILLS = Uint32Array.from(INDICES, (index) => packed(...classColour(index), FILL_ALPHA));
const EDGES = Uint32Array.from(INDICES, (index) => packed(...classColour(index), EDGE_ALPHA));
const WHITE = packed(255, 255, 255, 235);
const DARK = packed(0, 0, 0, 150);
