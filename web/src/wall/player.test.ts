import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { BatchDataSchema } from "../gen/trainmon/v1/telemetry_pb";
import { batchOf } from "../store/testing";
import { Player } from "./player";

const FRAME_MS = 16;

/** A screen that shows a frame when it is told to, half a frame after the pictures came. */
class Screen {
  nowMs = 0;
  private wanted: FrameRequestCallback | undefined;

  constructor() {
    vi.stubGlobal("requestAnimationFrame", (callback: FrameRequestCallback) => {
      this.wanted = callback;
      return 1;
    });
    vi.stubGlobal("cancelAnimationFrame", () => {
      this.wanted = undefined;
    });
    vi.spyOn(performance, "now").mockImplementation(() => this.nowMs);
  }

  refresh(): void {
    this.nowMs += FRAME_MS / 2;
    const callback = this.wanted;
    this.wanted = undefined;
    callback?.(this.nowMs);
    this.nowMs += FRAME_MS / 2;
  }
}

describe("Player", () => {
  let screen: Screen;
  let player: Player;
  let acknowledged = 0;
  let step = 0;

  beforeEach(() => {
    screen = new Screen();
    acknowledged = 0;
    step = 0;
    player = new Player({
      acknowledge: () => {
        acknowledged += 1;
      },
      latencyMs: () => undefined,
      classNames: () => [],
    });
  });

  afterEach(() => {
    player.close();
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
  });

  async function take(judged: MessageInitShape<typeof BatchDataSchema> = {}): Promise<void> {
    step += 1;
    const texts = [{ text: `step ${step}` }];
    await player.take(batchOf({ globalStep: BigInt(step), texts, ...judged }), true);
  }

  /** Take and show one picture a frame; returns the step that was painted at each. */
  async function play(frames: number): Promise<number[]> {
    const painted: number[] = [];
    for (let frame = 0; frame < frames; frame++) {
      await take();
      const before = player.meter.stats.painted;
      screen.refresh();
      await vi.waitFor(() => expect(player.meter.stats.painted).toBe(before + 1), { interval: 1 });
      painted.push(player.meter.stats.lastStep);
    }
    return painted;
  }

  it("is a frame behind after one was missed, and catches up once that filled no gap", async () => {
    await take(); // the screen missed its frame
    const painted = await play(60);
    const counted = Array.from({ length: 61 }, (_, index) => index + 1);
    expect(painted).toEqual(counted.filter((each) => each !== 41));
    expect(acknowledged).toBe(step);
  });

  it("keeps the wrong samples of a picture that was not painted by itself", async () => {
    player.setArrangement({ sortByLoss: false, wrongOnly: true });
    await take(); // the screen missed its frame
    await play(39);
    await take({ predictions: [{ predictedClass: 1 }], groundTruth: [{ trueClass: 0 }] });
    screen.refresh();
    await take();
    screen.refresh();
    expect(player.view().slots.map((slot) => slot?.step)).toContain(41);
  });

  it("acknowledges each picture once, the second in waiting when there is room", async () => {
    await take();
    expect(acknowledged).toBe(1);
    await take();
    expect(acknowledged).toBe(1);
    screen.refresh();
    expect(acknowledged).toBe(2);
    await take();
    expect(acknowledged).toBe(2);
    player.renew();
    expect(acknowledged).toBe(3);
  });

  it("paints nothing while it is frozen, and goes on from there", async () => {
    player.setFrozen(true);
    await take();
    screen.refresh();
    expect(player.view().samples).toBe(0);
    player.setFrozen(false);
    screen.refresh();
    expect(player.view().samples).toBe(1);
  });
});
