import { describe, expect, it } from "vitest";
import { PictureLimit } from "../gen/trainmon/v1/telemetry_pb";
import { limitWords } from "./limits";

describe("words for what keeps pictures down", () => {
  it("are none where nothing does", () => {
    expect(limitWords(undefined, undefined)).toBeUndefined();
    expect(limitWords(undefined, PictureLimit.UNSPECIFIED)).toBeUndefined();
  });

  it("tell the link to this browser from that of the training", () => {
    expect(limitWords("link", undefined)?.word).toBe("link slow");
    expect(limitWords(undefined, PictureLimit.SLOW_LINK)?.word).toBe("training's link slow");
  });

  it("name what is nearest to the reader where there are two", () => {
    expect(limitWords("page", PictureLimit.SLOW_LINK)?.word).toBe("page slow");
    expect(limitWords("link", PictureLimit.OVERHEAD_BUDGET)?.word).toBe("link slow");
  });

  it("name the setting that a budget is of", () => {
    const words = limitWords(undefined, PictureLimit.OVERHEAD_BUDGET);
    expect(words?.word).toBe("CPU budget");
    expect(words?.reason).toContain("TRAINMON_OVERHEAD_BUDGET");
  });

  it("say of each what is done, and promise quality only where it is kept", () => {
    for (const slow of ["link", "page"] as const) {
      expect(limitWords(slow, undefined)?.reason).toContain("fewer and smaller");
      expect(limitWords(slow, undefined)?.reason).not.toContain("quality");
    }
    expect(limitWords(undefined, PictureLimit.SLOW_LINK)?.reason).toContain("lower quality");
  });

  it("are none for a limit of a monitor that is newer than this page", () => {
    expect(limitWords(undefined, 99 as PictureLimit)).toBeUndefined();
  });
});
