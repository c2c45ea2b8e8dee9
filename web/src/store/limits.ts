import { PictureLimit } from "../gen/trainmon/v1/telemetry_pb";
import type { Slow } from "../worker/easing";

/** Why there are fewer or smaller pictures than asked for: a word, and what is done about it. */
export interface LimitWords {
  word: string;
  reason: string;
}

const EASED = "fewer and smaller pictures are asked for until it is not";

const SLOW: Record<Slow, LimitWords> = {
  link: { word: "link slow", reason: `The link to this browser is slow: ${EASED}.` },
  page: { word: "page slow", reason: `This page cannot paint as many: ${EASED}.` },
};

const LIMITS: Partial<Record<PictureLimit, LimitWords>> = {
  [PictureLimit.SLOW_LINK]: {
    word: "training's link slow",
    reason:
      "The link from the training to the monitor is slow: pictures are sent in lower quality, smaller and fewer until it is not.",
  },
  [PictureLimit.OVERHEAD_BUDGET]: {
    word: "CPU budget",
    reason:
      "The relay would spend more of the training's machine than TRAINMON_OVERHEAD_BUDGET allows: it asks for fewer and smaller pictures.",
  },
};

/** What is nearest to the reader first: this page, then the training. */
export function limitWords(
  slow: Slow | undefined,
  limit: PictureLimit | undefined,
): LimitWords | undefined {
  if (slow !== undefined) return SLOW[slow];
  return limit === undefined ? undefined : LIMITS[limit];
}
