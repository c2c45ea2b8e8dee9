import type { TextData } from "../rpc/plain";
import type { Palette } from "./colours";
import type { Box } from "./layout";

interface Piece {
  text: string;
  /** 0 (certain) to 1 (surprised); undefined where a token was not scored. */
  heat: number | undefined;
  /** In nats. */
  loss: number | undefined;
}

/** A loss of so many nats counts as full surprise. */
export const HOT_NATS = 6;

/** A text as pieces to lay out: its tokens with their loss, else its words. */
export function piecesOf(data: TextData): Piece[] {
  if (data.tokens.length > 0) {
    return data.tokens.map(({ token, loss }) => ({
      text: spelled(token),
      heat: heatOf(loss),
      loss,
    }));
  }
  return data.text.split(/(?<=\s)/u).map((text) => ({ text, heat: undefined, loss: undefined }));
}

/** The signs by which tokenizers write spaces and the ends of lines. */
function spelled(token: string): string {
  return token.replace(/[\u0120\u2581]/gu, " ").replace(/\u010a/gu, "\n");
}

/** Whether any token of a text has a loss to show. */
export function isScored(data: TextData): boolean {
  return data.tokens.some(({ loss }) => loss !== undefined);
}

function heatOf(loss: number | undefined): number | undefined {
  if (loss === undefined) return undefined;
  return Number.isFinite(loss) ? Math.min(1, Math.max(0, loss / HOT_NATS)) : 1;
}

/** Height of a line over the size of its letters. */
const LINE = 1.4;
const PAD = 6;

/** Draw as much of a text as the box holds, each scored token on a ground that tells its loss. */
export function drawText(
  context: CanvasRenderingContext2D,
  box: Box,
  data: TextData,
  palette: Palette,
): void {
  const size = fittingSize(box, data);
  const lineHeight = Math.round(size * LINE);
  const left = box.x + PAD;
  const end = box.x + box.width - PAD;
  context.font = `${size}px ${palette.font}`;
  context.textAlign = "left";
  let x = left;
  let y = box.y + PAD + size * 0.85;
  for (const { text, heat } of piecesOf(data)) {
    const shown = text.replace(/\s*\n\s*/gu, " ");
    const width = context.measureText(shown).width;
    if (x + width > end && x > left) {
      x = left;
      y += lineHeight;
    }
    if (y > box.y + box.height - 2) return;
    drawPiece(
      context,
      { x, y, width: Math.min(width, end - x), height: lineHeight },
      shown,
      heat,
      palette,
    );
    x += width;
    if (text.includes("\n") && x > left) {
      x = left;
      y += lineHeight;
    }
  }
}

/** Sizes of letters in CSS pixels, and the width of one over its size, on average. */
const SIZES = [16, 14, 12.5, 11, 10];
const LETTER = 0.53;

/** The greatest size at which all of a text has room, as far as its length tells; else the least. */
function fittingSize(box: Box, data: TextData): number {
  const letters = data.tokens.reduce((sum, { token }) => sum + token.length, 0) || data.text.length;
  const fits = (size: number) => {
    const lines = Math.ceil((letters * size * LETTER) / (box.width - 2 * PAD));
    return lines * size * LINE + PAD <= box.height;
  };
  return SIZES.find(fits) ?? 10;
}

/** Draw one piece on its baseline; its loss is a ground, and a line under what is unlikely. */
function drawPiece(
  context: CanvasRenderingContext2D,
  place: Box,
  text: string,
  heat: number | undefined,
  palette: Palette,
): void {
  const { x, y, width, height } = place;
  if (heat !== undefined) {
    context.globalAlpha = 0.08 + 0.5 * heat;
    context.fillStyle = palette.wrong;
    context.fillRect(x, y - height * 0.68, width - 1, height * 0.9);
    context.globalAlpha = 1;
    if (heat >= UNLIKELY) context.fillRect(x, y + height * 0.2, width - 1, 2);
  }
  context.fillStyle = palette.text;
  context.fillText(text, x, y, Math.max(1, width));
}

/** From this part of the full heat on a token is underlined: not by colour alone. */
const UNLIKELY = 0.5;
