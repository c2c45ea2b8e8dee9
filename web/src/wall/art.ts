import type { ImageData as Picture } from "../rpc/plain";
import type { Sample } from "../store/tiles";
import { agreementOf, Mask } from "./mask";

/** The decoded pictures of one sample. */
export interface Art {
  image: ImageBitmap | undefined;
  /** Predicted classes of its pixels. */
  mask: Mask | undefined;
  /** True classes of its pixels. */
  trueMask: Mask | undefined;
  /** On which part of the pixels both agree, 0 to 1; undefined where one is missing. */
  agreement: number | undefined;
  /** Set when the picture could not be decoded. */
  broken: boolean;
}

/** Decode what a sample shows, off the page's thread; a bad picture is marked, never thrown. */
export async function decodeArt(sample: Sample): Promise<Art> {
  const [image, mask, trueMask] = await Promise.all([
    decode(sample.image),
    decodeMask(sample.prediction?.mask).catch(() => undefined),
    decodeMask(sample.truth?.mask).catch(() => undefined),
  ]);
  const agreement = mask && trueMask ? agreementOf(mask, trueMask) : undefined;
  const broken = sample.image !== undefined && image === undefined;
  return { image, mask, trueMask, agreement, broken };
}

/** The samples with what only their decoded masks tell. */
export function judged(samples: Sample[], art: Map<string, Art>): Sample[] {
  return samples.map((sample) => ({ ...sample, agreement: art.get(sample.key)?.agreement }));
}

/** Give the pictures' memory back. */
export function releaseArt(art: Art): void {
  art.image?.close();
}

async function decode(picture: Picture | undefined): Promise<ImageBitmap | undefined> {
  if (picture === undefined) return undefined;
  const type = picture.format === "png" ? "image/png" : "image/jpeg";
  try {
    return await decodeBytes(picture.imageBytes as Uint8Array<ArrayBuffer>, type);
  } catch {
    return undefined;
  }
}

/**
 * A Blob costs a trip to the browser's own process: measured, 16 tiles take 12 ms that way and 2 ms
 * through ImageDecoder, which not every browser has.
 */
async function decodeBytes(data: Uint8Array<ArrayBuffer>, type: string): Promise<ImageBitmap> {
  if (typeof ImageDecoder === "undefined") return createImageBitmap(new Blob([data], { type }));
  const decoder = new ImageDecoder({ data, type });
  try {
    const { image } = await decoder.decode();
    return await createImageBitmap(image).finally(() => image.close());
  } finally {
    decoder.close();
  }
}

/** Class indices are the grey values of their picture. */
async function decodeMask(picture: Picture | undefined): Promise<Mask | undefined> {
  const indices = await decode(picture);
  if (indices === undefined) return undefined;
  const { width, height } = indices;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context?.drawImage(indices, 0, 0);
  indices.close();
  if (!context) return undefined;
  const { data } = context.getImageData(0, 0, width, height);
  const classes = new Uint8Array(width * height);
  for (let i = 0; i < classes.length; i++) classes[i] = data[i * 4] ?? 0;
  return new Mask(classes, width, height);
}
