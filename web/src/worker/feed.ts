import type { WatchSessionResponse } from "../gen/trainmon/v1/dashboard_pb";
import type { DashboardClient } from "../rpc/client";
import { Follower, type Link } from "../rpc/follow";
import type { BatchData } from "../rpc/plain";
import { toPlain, type WatchEvent } from "../rpc/plain";
import {
  applyEvent,
  emptySession,
  isOlderPicture,
  pictureOf,
  type SessionView,
} from "../store/session";
import { Easing } from "./easing";
import type { Tab } from "./tab";

/** Demand that falls is told to the monitor only after this long: tabs are switched to and fro. */
const LOWER_AFTER_MS = 2_000;
/** How often it is judged whether the link or the page is slow. */
const WINDOW_MS = 1_000;

interface Demand {
  framesPerSecond: number;
  tileSize: number;
}

/**
 * One session and the tabs that look at it: a single stream at the greatest demand of them all,
 * resumed from its cursor, and the newest picture, no more.
 */
export class Feed {
  readonly tabs = new Set<Tab>();
  private view: SessionView = emptySession;
  private link: Link = { state: "parked" };
  private cursor = "";
  private picture: BatchData | undefined;
  private received = 0;
  private demand: Demand = { framesPerSecond: -1, tileSize: 0 };
  private follower: Follower<WatchSessionResponse> | undefined;
  private lowering: ReturnType<typeof setTimeout> | undefined;
  private readonly easing = new Easing();
  private windows: ReturnType<typeof setInterval> | undefined;

  constructor(
    readonly sessionId: string,
    private readonly client: DashboardClient,
  ) {}

  /** A tab begins to look: it gets what is known at once. */
  join(tab: Tab): void {
    this.tabs.add(tab);
    tab.send({ type: "view", sessionId: this.sessionId, view: this.view });
    tab.send({ type: "link", sessionId: this.sessionId, link: this.link });
    tab.send({ type: "eased", sessionId: this.sessionId, slow: this.easing.slow });
    this.showPicture(tab);
  }

  /** Offer a tab the newest picture, which may have come while it was hidden. */
  showPicture(tab: Tab): void {
    if (this.picture) tab.pushPicture(this.sessionId, this.picture, this.received, false);
  }

  /** Open the stream, if it is not, and let it follow the tabs' demand. */
  resume(): void {
    const wanted = this.wanted();
    if (this.follower === undefined) this.open(wanted);
    else if (exceeds(wanted, this.demand)) this.open(wanted);
    else if (differs(wanted, this.demand)) this.lower();
    else this.cancelLowering();
  }

  /** Close the stream but keep what is known, so that it can resume. */
  park(): void {
    this.stop();
    this.setLink({ state: "parked" });
  }

  /** Close the stream for good. */
  stop(): void {
    this.cancelLowering();
    clearInterval(this.windows);
    this.windows = undefined;
    this.follower?.close();
    this.follower = undefined;
  }

  retryNow(): void {
    this.follower?.retryNow();
  }

  /** Whether the stream is open or tried. */
  get active(): boolean {
    return this.follower !== undefined;
  }

  private wanted(): Demand {
    let framesPerSecond = -1;
    let tileSize = 32;
    for (const { want } of this.tabs) {
      if (want === undefined || want.framesPerSecond < 0) continue;
      framesPerSecond = Math.max(framesPerSecond, want.framesPerSecond);
      tileSize = Math.max(tileSize, want.tileSize);
    }
    const [rate, size] = this.easing.ease(framesPerSecond, tileSize);
    return { framesPerSecond: rate, tileSize: size };
  }

  /** Ask for something else where what is asked for is too much, or may be more again. */
  private endWindow(): void {
    let offered = 0;
    let taken = 0;
    for (const tab of this.tabs) {
      const told = tab.tally();
      // One that takes nothing is frozen, not slow; of the others the quickest counts.
      if (told.taken === 0) continue;
      offered = Math.max(offered, told.offered);
      taken = Math.max(taken, told.taken);
    }
    if (!this.easing.endWindow(offered, taken)) return;
    const { slow } = this.easing;
    for (const tab of this.tabs) tab.send({ type: "eased", sessionId: this.sessionId, slow });
    const wanted = this.wanted();
    if (differs(wanted, this.demand)) this.open(wanted);
  }

  private lower(): void {
    this.lowering ??= setTimeout(() => {
      this.lowering = undefined;
      if (this.follower) this.open(this.wanted());
    }, LOWER_AFTER_MS);
  }

  private cancelLowering(): void {
    clearTimeout(this.lowering);
    this.lowering = undefined;
  }

  private open(demand: Demand): void {
    this.cancelLowering();
    this.follower?.close();
    this.demand = demand;
    this.windows ??= setInterval(() => this.endWindow(), WINDOW_MS);
    const live = this.link.state === "live";
    this.follower = new Follower<WatchSessionResponse>({
      open: (signal) => this.request(signal),
      onMessage: (message) => this.take(message),
      // A change of rate is no news: the link stays live while the stream is opened anew.
      onLink: (link) => {
        if (!(live && link.state === "connecting")) this.setLink(link);
      },
    });
  }

  private request(signal: AbortSignal): AsyncIterable<WatchSessionResponse> {
    const request = {
      sessionId: this.sessionId,
      framesPerSecond: this.demand.framesPerSecond,
      tileSize: this.demand.tileSize,
      resumeCursor: this.cursor,
      timestampMs: BigInt(Date.now()),
    };
    return this.client.watchSession(request, { signal });
  }

  private take(message: WatchSessionResponse): void {
    if (message.cursor !== "") this.cursor = message.cursor;
    const { event, timestampMs }: { event: WatchEvent; timestampMs: number } = toPlain(message);
    if (event.case === "batchData") this.easing.arrived(timestampMs, performance.now());
    const picture = pictureOf(event);
    // Of another store, the same step is another picture.
    if (event.case === "snapshot" && event.value.reset) this.picture = undefined;
    if (event.case !== "batchData" && event.case !== undefined) {
      this.view = applyEvent(this.view, event);
      for (const tab of this.tabs) tab.pushEvent(this.sessionId, withoutPicture(event));
    }
    // After its snapshot, at which a tab forgets what it showed.
    if (picture !== undefined) this.takePicture(picture, event.case === "batchData");
  }

  private takePicture(picture: BatchData, fresh: boolean): void {
    const known = this.picture;
    if (known?.globalStep === picture.globalStep && known.attempt === picture.attempt) return;
    // A stream that is opened anew begins with the newest picture of whoever answers, who may be
    // behind the one that answered before.
    if (known !== undefined && isOlderPicture(picture, known)) return;
    if (fresh) this.received += 1;
    this.picture = picture;
    for (const tab of this.tabs) tab.pushPicture(this.sessionId, picture, this.received, fresh);
  }

  private setLink(link: Link): void {
    this.link = link;
    for (const tab of this.tabs) tab.send({ type: "link", sessionId: this.sessionId, link });
  }
}

/** The picture of a snapshot travels on its own, as every other does. */
function withoutPicture(event: WatchEvent): WatchEvent {
  if (event.case !== "snapshot") return event;
  const { batchData: _, ...value } = event.value;
  return { case: "snapshot", value };
}

function exceeds(wanted: Demand, given: Demand): boolean {
  return wanted.framesPerSecond > given.framesPerSecond || wanted.tileSize > given.tileSize;
}

function differs(wanted: Demand, given: Demand): boolean {
  return wanted.framesPerSecond !== given.framesPerSecond || wanted.tileSize !== given.tileSize;
}
