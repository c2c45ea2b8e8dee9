import type { BatchData, WatchEvent } from "../rpc/plain";
import type { Port, ToTab, Want } from "./protocol";

/** Events go to a tab in bundles this far apart: a tab wakes ten times a second, not hundreds. */
const BUNDLE_MS = 80;
/** A bundle is sent early when it holds so many events. */
const BUNDLE_EVENTS = 500;
/** Events that go at once, with all that waits before them. */
const URGENT = new Set<WatchEvent["case"]>(["snapshot", "commandRecord", "statusUpdate"]);

/** One tab: what it wants, and what waits for it. Holds one picture at most, the newest. */
export class Tab {
  want: Want | undefined;
  /** When it last came on screen, for the order of the few streams. */
  shownMs = 0;
  private events: WatchEvent[] = [];
  private bundle: ReturnType<typeof setTimeout> | undefined;
  private picture: { batch: BatchData; live: boolean } | undefined;
  private ready = true;
  private dueMs = 0;
  private pace: ReturnType<typeof setTimeout> | undefined;
  private received = 0;
  private offered = 0;
  private taken = 0;

  constructor(private readonly port: Port) {}

  send(message: ToTab): void {
    this.port.postMessage(message);
  }

  /** Forget what waits: the tab looks at another session now. */
  clear(): void {
    clearTimeout(this.bundle);
    clearTimeout(this.pace);
    this.bundle = undefined;
    this.pace = undefined;
    this.events = [];
    this.picture = undefined;
    this.ready = true;
  }

  /** Queue an event for the next bundle. */
  pushEvent(sessionId: string, event: WatchEvent): void {
    this.events.push(event);
    if (URGENT.has(event.case) || this.events.length >= BUNDLE_EVENTS) this.flush(sessionId);
    else this.bundle ??= setTimeout(() => this.flush(sessionId), BUNDLE_MS);
  }

  /** Offer a picture: it replaces one that still waits. */
  pushPicture(sessionId: string, batch: BatchData, received: number, live: boolean): void {
    if (this.want === undefined || this.want.framesPerSecond < 0) return;
    if (live) this.offered += 1;
    this.picture = { batch, live };
    this.received = received;
    this.sendPicture(sessionId);
  }

  /** The tab took the last picture. */
  acknowledge(): void {
    this.ready = true;
    if (this.want !== undefined) this.sendPicture(this.want.sessionId);
  }

  /** Pictures since it was last asked: those there were for it at its rate, and those it took. */
  tally(): { offered: number; taken: number } {
    const most = Math.max(0, this.want?.framesPerSecond ?? 0);
    const told = { offered: Math.min(this.offered, most), taken: this.taken };
    this.offered = 0;
    this.taken = 0;
    return told;
  }

  /** Let go of everything; the port stays silent from here. */
  close(): void {
    this.clear();
    this.want = undefined;
    this.port.onmessage = null;
  }

  private flush(sessionId: string): void {
    clearTimeout(this.bundle);
    this.bundle = undefined;
    const { events, received } = this;
    this.events = [];
    if (events.length > 0) this.send({ type: "events", sessionId, events });
    this.send({ type: "received", sessionId, received });
  }

  private sendPicture(sessionId: string): void {
    const { picture } = this;
    if (picture === undefined || !this.ready || this.pace !== undefined) return;
    const waitMs = this.dueMs - performance.now();
    if (waitMs > 1) {
      this.pace = setTimeout(() => {
        this.pace = undefined;
        this.sendPicture(sessionId);
      }, waitMs);
      return;
    }
    this.picture = undefined;
    this.ready = false;
    this.taken += 1;
    this.advance();
    const { batch, live } = picture;
    this.send({ type: "picture", sessionId, picture: batch, received: this.received, live });
  }

  /** At the greatest rate pictures are not paced here: the screen does that. */
  private advance(): void {
    const wanted = this.want?.framesPerSecond ?? 0;
    const now = performance.now();
    const intervalMs = wanted > 0 && wanted < 60 ? 1000 / wanted : 0;
    this.dueMs = Math.max(this.dueMs + intervalMs, now - intervalMs);
  }
}
