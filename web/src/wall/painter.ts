import { formatValue } from "../store/format";
import type { Overlay, Sample, Slot } from "../store/tiles";
import { agreementWords, predictedWords, trueWords } from "../store/words";
import type { Art } from "./art";
import type { Palette } from "./colours";
import { type Box, layOut, planFor, type TileBox } from "./layout";
import { drawSubject } from "./picture";

type Context = CanvasRenderingContext2D;

/** Everything one painting of the wall needs. */
export interface Scene {
  slots: Slot[];
  art: Map<string, Art>;
  classNames: string[];
  palette: Palette;
  overlay: Overlay;
}

/** Paint the whole wall. The context is scaled to CSS pixels already. */
export function paintWall(context: Context, width: number, height: number, scene: Scene): void {
  context.fillStyle = scene.palette.background;
  context.fillRect(0, 0, width, height);
  const plan = planFor(scene.slots);
  const paintWords = plan.isList ? paintLine : paintStrip;
  for (const [index, box] of layOut(width, height, plan).entries()) {
    paintTile(context, box, scene.slots[index], scene, paintWords);
  }
}

type PaintWords = (context: Context, strip: Box, sample: Sample, scene: Scene) => void;

function paintTile(
  context: Context,
  box: TileBox,
  slot: Slot,
  scene: Scene,
  paintWords: PaintWords,
): void {
  const { palette, overlay } = scene;
  if (slot === undefined) {
    paintEmpty(context, box.tile, palette);
    return;
  }
  drawSubject(context, box.picture, slot, scene.art.get(slot.key), { palette, overlay });
  context.fillStyle = palette.strip;
  context.fillRect(box.strip.x, box.strip.y, box.strip.width, box.strip.height);
  paintWords(context, box.strip, slot, scene);
  paintBorder(context, box.tile, slot, palette);
}

function paintEmpty(context: Context, tile: Box, palette: Palette): void {
  context.strokeStyle = palette.line;
  context.lineWidth = 1;
  context.setLineDash([2, 4]);
  context.strokeRect(tile.x + 0.5, tile.y + 0.5, tile.width - 1, tile.height - 1);
  context.setLineDash([]);
}

/** Right: a thin whole border. Wrong: a thick broken one. Neither: a hairline. */
function paintBorder(context: Context, tile: Box, sample: Sample, palette: Palette): void {
  const wrong = sample.verdict === "wrong";
  const width = wrong ? 2 : 1;
  context.lineWidth = width;
  context.strokeStyle = verdictColour(sample, palette, palette.line);
  context.globalAlpha = sample.verdict === "right" ? 0.55 : 1;
  context.setLineDash(wrong ? [6, 3] : []);
  context.strokeRect(
    tile.x + width / 2,
    tile.y + width / 2,
    tile.width - width,
    tile.height - width,
  );
  context.setLineDash([]);
  context.globalAlpha = 1;
}

function verdictColour(sample: Sample, palette: Palette, otherwise: string): string {
  if (sample.verdict === "right") return palette.right;
  return sample.verdict === "wrong" ? palette.wrong : otherwise;
}

/** The words under a picture: mark, prediction and confidence; its bar; the truth. */
function paintStrip(context: Context, strip: Box, sample: Sample, scene: Scene): void {
  const { palette, classNames } = scene;
  const pad = Math.max(4, Math.round(strip.width * 0.045));
  const size = Math.max(10, Math.min(15, Math.round(strip.height * 0.34)));
  const left = strip.x + pad;
  const right = strip.x + strip.width - pad;
  const baseline = strip.y + Math.round(strip.height * 0.4);
  const colour = verdictColour(sample, palette, palette.accent);
  let x = left;
  if (sample.verdict !== "unknown") {
    paintMark(context, x, baseline, size, sample.verdict === "right", colour);
    x += size + 1;
  }
  const end = paintShare(context, right, baseline, size, sample, palette);
  context.textAlign = "left";
  context.fillStyle = palette.text;
  context.font = `600 ${size}px ${palette.font}`;
  drawFitting(context, predictedWords(sample, classNames), x, baseline, end - x - 4);
  paintBar(
    context,
    { x: left, y: baseline + 4, width: right - left, height: 3 },
    sample,
    palette,
    colour,
  );
  const words = lowerWords(sample, scene, strip.width < 110);
  context.font = `${size - 2}px ${palette.font}`;
  context.fillStyle = sample.verdict === "wrong" ? palette.text : palette.muted;
  drawFitting(context, words, left, baseline + size + 6, right - left);
}

/** The truth; where it is no plain yes or no, how well the prediction agrees with it. */
function lowerWords(sample: Sample, scene: Scene, short: boolean): string {
  const truth = trueWords(sample, scene.classNames);
  const agrees = agreementWords(sample);
  if (agrees !== "" && (sample.truth?.mask !== undefined || short)) return agrees;
  const words = truth === "" || short ? truth : `true ${truth}`;
  return agrees === "" ? words : `${words} · ${agrees}`;
}

/** The words under a text in one line: mark, prediction and confidence; at the right the truth. */
function paintLine(context: Context, strip: Box, sample: Sample, scene: Scene): void {
  const { palette, classNames } = scene;
  const size = 12;
  const baseline = strip.y + Math.round((strip.height + size * 0.7) / 2);
  const middle = strip.x + strip.width / 2;
  let x = strip.x + 7;
  if (sample.verdict !== "unknown") {
    const colour = verdictColour(sample, palette, palette.accent);
    paintMark(context, x, baseline, size, sample.verdict === "right", colour);
    x += size + 1;
  }
  const truth = lowerWords(sample, scene, false);
  const predicted = predictedWords(sample, classNames);
  const loss = sample.loss === undefined ? "" : `loss ${formatValue(sample.loss)}`;
  const rightEnd = strip.x + strip.width - 7;
  const end = paintShare(
    context,
    truth || loss ? middle - 4 : rightEnd,
    baseline,
    size,
    sample,
    palette,
  );
  context.textAlign = "left";
  context.fillStyle = palette.text;
  context.font = `600 ${size}px ${palette.font}`;
  drawFitting(context, predicted || loss, x, baseline, end - x - 4);
  context.fillStyle = sample.verdict === "wrong" ? palette.text : palette.muted;
  context.font = `${size - 1}px ${palette.font}`;
  drawFitting(context, truth || (predicted ? loss : ""), middle, baseline, rightEnd - middle);
}

/** The confidence as a number, right-aligned; returns where it begins. */
function paintShare(
  context: Context,
  right: number,
  baseline: number,
  size: number,
  sample: Sample,
  palette: Palette,
): number {
  const confidence = sample.prediction?.confidence ?? 0;
  if (!(confidence > 0)) return right;
  const words = String(Math.round(confidence * 100));
  context.textAlign = "right";
  context.fillStyle = palette.muted;
  context.font = `${size - 1}px ${palette.mono}`;
  context.fillText(words, right, baseline);
  return right - words.length * size * 0.6;
}

function paintBar(
  context: Context,
  bar: Box,
  sample: Sample,
  palette: Palette,
  colour: string,
): void {
  const confidence = sample.prediction?.confidence ?? 0;
  if (!(confidence > 0)) return;
  context.fillStyle = palette.line;
  context.fillRect(bar.x, bar.y, bar.width, bar.height);
  context.fillStyle = colour;
  context.fillRect(bar.x, bar.y, bar.width * Math.min(1, confidence), bar.height);
}

/** A tick or a cross, drawn: glyphs differ from font to font. */
function paintMark(
  context: Context,
  x: number,
  baseline: number,
  size: number,
  isRight: boolean,
  colour: string,
): void {
  const edge = size * 0.62;
  const top = baseline - edge - size * 0.06;
  context.strokeStyle = colour;
  context.lineWidth = Math.max(1.6, size * 0.15);
  context.beginPath();
  if (isRight) {
    context.moveTo(x, top + edge * 0.55);
    context.lineTo(x + edge * 0.38, top + edge * 0.95);
    context.lineTo(x + edge, top + edge * 0.1);
  } else {
    context.moveTo(x, top + edge * 0.08);
    context.lineTo(x + edge * 0.9, top + edge * 0.96);
    context.moveTo(x + edge * 0.9, top + edge * 0.08);
    context.lineTo(x, top + edge * 0.96);
  }
  context.stroke();
}

/** Draw one line, cut with an ellipsis where it does not fit. */
function drawFitting(context: Context, words: string, x: number, y: number, width: number): void {
  if (width <= 0 || words === "") return;
  let shown = words.length > 60 ? words.slice(0, 60) : words;
  let cut = shown !== words;
  while (shown.length > 1 && context.measureText(cut ? `${shown}…` : shown).width > width) {
    shown = shown.slice(0, Math.max(1, Math.floor(shown.length * 0.85)));
    cut = true;
  }
  context.fillText(cut ? `${shown}…` : shown, x, y);
}
