import type { BoundingBox } from "../rpc/plain";
import type { Sample } from "../store/tiles";
import type { Art } from "./art";
import { classCss, type Palette } from "./colours";
import { type Box, contain } from "./layout";
import { drawText } from "./text";

type Context = CanvasRenderingContext2D;

/** Below so much of the drawn size a picture is shown as the pixels it has. */
const NEAREST_BELOW = 0.75;

/** Draw what a sample is: its picture with masks and boxes, else its text, else its values. */
export function drawSubject(
  context: Context,
  box: Box,
  sample: Sample,
  art: Art | undefined,
  palette: Palette,
): void {
  context.fillStyle = palette.tile;
  context.fillRect(box.x, box.y, box.width, box.height);
  if (art?.image) drawImage(context, box, sample, art, art.image);
  else if (sample.text) drawText(context, box, sample.text, palette);
  else if (art?.broken) drawNotice(context, box, "picture cannot be decoded", palette);
  else if (sample.image === undefined) drawNotice(context, box, "no picture", palette);
}

function drawImage(context: Context, box: Box, sample: Sample, art: Art, image: ImageBitmap): void {
  const place = contain(box, image.width, image.height);
  context.imageSmoothingEnabled = image.width >= place.width * NEAREST_BELOW;
  context.drawImage(image, place.x, place.y, place.width, place.height);
  context.imageSmoothingEnabled = false;
  for (const mask of [art.mask, art.trueMask]) {
    if (mask) context.drawImage(mask, place.x, place.y, place.width, place.height);
  }
  for (const one of sample.truth?.boxes ?? []) drawBox(context, place, one, true);
  for (const one of sample.prediction?.boxes ?? []) drawBox(context, place, one, false);
}

/** A predicted box is drawn solid with its name; a true one dashed and white. */
function drawBox(context: Context, place: Box, box: BoundingBox, isTruth: boolean): void {
  const x = place.x + box.xMin * place.width;
  const y = place.y + box.yMin * place.height;
  const width = (box.xMax - box.xMin) * place.width;
  const height = (box.yMax - box.yMin) * place.height;
  context.lineWidth = isTruth ? 1.5 : 2;
  context.strokeStyle = isTruth ? "#ffffff" : classCss(box.classIndex);
  context.setLineDash(isTruth ? [4, 3] : []);
  context.strokeRect(x, y, width, height);
  context.setLineDash([]);
  if (isTruth || box.label === "" || place.width < 100) return;
  const score = box.score === undefined ? "" : ` ${Math.round(box.score * 100)}`;
  context.font = "600 10px sans-serif";
  const wide = Math.min(width, context.measureText(box.label + score).width + 6);
  context.fillStyle = classCss(box.classIndex);
  context.fillRect(x - 1, y - 1, wide, 13);
  context.fillStyle = "#06080b";
  context.textAlign = "left";
  context.fillText(box.label + score, x + 2, y + 9, wide - 4);
}

function drawNotice(context: Context, box: Box, words: string, palette: Palette): void {
  context.fillStyle = palette.muted;
  context.font = `11px ${palette.font}`;
  context.textAlign = "center";
  context.fillText(words, box.x + box.width / 2, box.y + box.height / 2, box.width - 8);
}
