import type { TextData } from "../rpc/plain";
import type { Palette } from "./colours";
import type { Box } from "./layout";

interface Piece {
  text: string;
  /** 0 (certain) to 1 (surprised); undefined where a token was not scored. */
  heat: number | undefined;
}

/** A loss of so many nats counts as full surprise. */
export const HOT_NATS = 6;

/** A text as pieces to lay out: its tokens with their loss, else its words. */
export function piecesOf(data: TextData): Piece[] {
  if (data.tokens.length > 0) {
    return data.tokens.map(({ token, loss }) => ({ text: token, heat: heatOf(loss) }));
  }
  return data.text.split(/(?<=\s)/u).map((text) => ({ text, heat: undefined }));
}

function heatOf(loss: number | undefined): number | undefined {
  if (loss === undefined) return undefined;
  return Number.isFinite(loss) ? Math.min(1, Math.max(0, loss / HOT_NATS)) : 1;
}

/** Draw as much of a text as the box holds, each scored token on a ground that tells its loss. */
export function drawText(
  context: CanvasRenderingContext2D,
  box: Box,
  data: TextData,
  palette: Palette,
): void {
  const size = Math.max(9, Math.min(15, box.width / 10.5));
  const lineHeight = Math.round(size * 1.4);
  const pad = 6;
  context.font = `${size}px ${palette.font}`;
  context.textAlign = "left";
  let x = box.x + pad;
  let y = box.y + pad + size;
  for (const { text, heat } of piecesOf(data)) {
    const width = context.measureText(text).width;
    if (x + width > box.x + box.width - pad && x > box.x + pad) {
      x = box.x + pad;
      y += lineHeight;
    }
    if (y > box.y + box.height - 2) return;
    if (heat !== undefined) {
      context.globalAlpha = 0.12 + 0.55 * heat;
      context.fillStyle = palette.wrong;
      context.fillRect(x, y - size + 1, width, lineHeight - 2);
      context.globalAlpha = 1;
    }
    context.fillStyle = palette.text;
    context.fillText(text, x, y, box.width - 2 * pad);
    x += width;
  }
}
