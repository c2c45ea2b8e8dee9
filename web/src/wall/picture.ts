import type { BoundingBox } from "../rpc/plain";
import type { Overlay, Sample } from "../store/tiles";
import type { Art } from "./art";
import { classCss, inkOn, type Palette } from "./colours";
import { type Box, contain } from "./layout";
import type { Mask } from "./mask";
import { drawText } from "./text";

type Context = CanvasRenderingContext2D;

/** Below so much of the drawn size a picture is shown as the pixels it has. */
const NEAREST_BELOW = 0.75;

/** Pictures drawn narrower than this have no room for the names of boxes, in CSS pixels. */
const LABELLED_FROM = 90;
const LABEL_HEIGHT = 13;

/** How a sample is drawn. */
export interface Look {
  palette: Palette;
  overlay: Overlay;
}

/** Draw what a sample is: its picture with masks and boxes, else its text, else its values. */
export function drawSubject(
  context: Context,
  box: Box,
  sample: Sample,
  art: Art | undefined,
  { palette, overlay }: Look,
): void {
  context.fillStyle = palette.tile;
  context.fillRect(box.x, box.y, box.width, box.height);
  const subject = art?.image ?? art?.mask ?? art?.trueMask;
  if (art && subject)
    drawPicture(context, contain(box, subject.width, subject.height), sample, art, overlay);
  else if (sample.text) drawText(context, box, sample.text, palette);
  else if (art?.broken) drawNotice(context, box, "picture cannot be decoded", palette);
  else if (sample.image === undefined) drawNotice(context, box, "no picture", palette);
}

/** The prediction lies over the picture filled, the truth as an outline; alone, each is filled. */
function drawPicture(
  context: Context,
  place: Box,
  sample: Sample,
  art: Art,
  overlay: Overlay,
): void {
  const { image } = art;
  if (image) {
    context.imageSmoothingEnabled = image.width >= place.width * NEAREST_BELOW;
    context.drawImage(image.source, place.x, place.y, place.width, place.height);
  }
  context.imageSmoothingEnabled = false;
  const predicted = overlay === "both" || overlay === "predicted";
  const truth = overlay === "both" || overlay === "true";
  if (predicted) drawMask(context, place, art.mask, false);
  if (truth) drawMask(context, place, art.trueMask, predicted && art.mask !== undefined);
  if (truth) drawBoxes(context, place, sample.truth?.boxes, true);
  if (predicted) drawBoxes(context, place, sample.prediction?.boxes, false);
}

function drawMask(context: Context, place: Box, mask: Mask | undefined, outline: boolean): void {
  if (mask) context.drawImage(mask.layer(outline), place.x, place.y, place.width, place.height);
}

function drawBoxes(
  context: Context,
  place: Box,
  boxes: BoundingBox[] | undefined,
  isTruth: boolean,
): void {
  for (const box of boxes ?? []) drawBox(context, place, box, isTruth);
}

/** A predicted box is drawn whole in its class's colour; a true one broken, in black and white. */
function drawBox(context: Context, place: Box, box: BoundingBox, isTruth: boolean): void {
  const x = place.x + box.xMin * place.width;
  const y = place.y + box.yMin * place.height;
  const width = (box.xMax - box.xMin) * place.width;
  const height = (box.yMax - box.yMin) * place.height;
  context.lineWidth = 2;
  context.strokeStyle = isTruth ? "rgb(0 0 0 / 0.6)" : classCss(box.classIndex);
  context.strokeRect(x, y, width, height);
  if (isTruth) {
    context.lineWidth = 1.5;
    context.strokeStyle = "#ffffff";
    context.setLineDash([5, 4]);
    context.strokeRect(x, y, width, height);
    context.setLineDash([]);
  }
  const name = box.label || (box.classIndex >= 0 ? String(box.classIndex) : "");
  const score = box.score === undefined ? "" : String(Math.round(box.score * 100));
  const words = [name, score].filter(Boolean).join(" ");
  if (words === "" || place.width < LABELLED_FROM) return;
  context.font = "600 10px sans-serif";
  const wide = context.measureText(words).width + 6;
  // Above a predicted box, below a true one; within the picture where there is no room.
  const left = Math.max(place.x, Math.min(x - 1, place.x + place.width - wide));
  const top = isTruth
    ? Math.min(y + height, place.y + place.height - LABEL_HEIGHT)
    : Math.max(y - LABEL_HEIGHT, place.y);
  context.fillStyle = isTruth ? "rgb(0 0 0 / 0.75)" : classCss(box.classIndex);
  context.fillRect(left, top, wide, LABEL_HEIGHT);
  context.fillStyle = isTruth ? "#ffffff" : inkOn(box.classIndex);
  context.textAlign = "left";
  context.fillText(words, left + 3, top + LABEL_HEIGHT - 3.5);
}

function drawNotice(context: Context, box: Box, words: string, palette: Palette): void {
  context.fillStyle = palette.muted;
  context.font = `11px ${palette.font}`;
  context.textAlign = "center";
  context.fillText(words, box.x + box.width / 2, box.y + box.height / 2, box.width - 8);
}
