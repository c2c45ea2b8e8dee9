import type { WatchSessionsResponse } from "../gen/trainmon/v1/dashboard_pb";
import type { DashboardClient } from "../rpc/client";
import { ClockOffset } from "../rpc/clock";
import { type Failure, failureOf } from "../rpc/failure";
import { Follower, type Link } from "../rpc/follow";
import { type SessionSummary, toPlain } from "../rpc/plain";
import { callRepeatedly } from "./calls";
import { Feed } from "./feed";
import { Lane } from "./lane";
import type { FromTab, Port, ToTab, Want } from "./protocol";
import { Tab } from "./tab";

/**
 * Browsers allow six HTTP/1.1 connections per origin, for all tabs together. One carries the list,
 * at most three a session each; two stay free for commands and for loading pages.
 */
const MOST_FEEDS = 3;
/** How often the clocks are compared, in ms: quickly at first, then seldom. */
const CLOCK_FIRST_MS = 400;
const CLOCK_THEN_MS = 15_000;
const CLOCK_FIRST_ROUNDS = 5;
/**
 * Tabs are looked over so often, in ms, and one unheard of in so many rounds running is gone. Hidden
 * tabs are throttled to one timer a minute; rounds stand still while a machine sleeps, clocks do not.
 */
const SWEEP_MS = 60_000;
const SILENT_SWEEPS = 4;

interface Attached {
  /** Sweeps since it was heard. */
  silentSweeps: number;
  /** Aborts its calls. */
  calls: AbortController;
}

/** Owns every stream and call of this browser, and gives each tab what it asked for. */
export class Hub {
  private readonly tabs = new Map<Tab, Attached>();
  private readonly feeds = new Map<string, Feed>();
  private readonly sessions = new Map<string, SessionSummary>();
  private readonly clock = new ClockOffset();
  private readonly lane = new Lane();
  private listLink: Link = { state: "connecting" };
  private list: Follower<WatchSessionsResponse> | undefined;
  /** Whether the list has ever come: an empty one is not the same as none. */
  private listed = false;
  private sweeping: ReturnType<typeof setInterval> | undefined;
  private clockTimer: ReturnType<typeof setTimeout> | undefined;
  private clockRounds = 0;

  constructor(private readonly client: DashboardClient) {}

  /** Serve the tab at the other end of a port. */
  attach(port: Port): void {
    const tab = new Tab(port);
    this.tabs.set(tab, { silentSweeps: 0, calls: new AbortController() });
    port.onmessage = (event) => this.hear(tab, event.data);
    this.start();
    tab.send({ type: "listLink", link: this.listLink });
    if (this.listed) {
      const sessions = [...this.sessions.values()];
      tab.send({ type: "sessions", reset: true, sessions, removed: [] });
    }
    this.tellClock(tab);
  }

  private hear(tab: Tab, message: FromTab): void {
    const entry = this.tabs.get(tab);
    if (entry === undefined) return;
    entry.silentSweeps = 0;
    if (message.type === "hello") this.watchLock(tab, message.lock);
    else if (message.type === "want") this.setWant(tab, message.want);
    else if (message.type === "ack") tab.acknowledge();
    else if (message.type === "call") void this.call(tab, message, entry.calls.signal);
    else if (message.type === "retry") this.retryNow();
    else if (message.type === "ping") tab.send({ type: "pong" });
    else this.detach(tab);
  }

  /** A tab that is frozen or gone without a word must not be written to for ever. */
  private sweep(): void {
    for (const [tab, entry] of this.tabs) {
      entry.silentSweeps += 1;
      if (entry.silentSweeps >= SILENT_SWEEPS) this.detach(tab);
    }
  }

  /** To be granted the lock that a tab holds for as long as it lives means that the tab is gone. */
  private watchLock(tab: Tab, lock: string): void {
    // Where locks are refused, the sweep tells.
    navigator.locks.request(lock, () => this.detach(tab)).catch(() => undefined);
  }

  private detach(tab: Tab): void {
    this.tabs.get(tab)?.calls.abort();
    if (!this.tabs.delete(tab)) return;
    this.leaveFeed(tab);
    tab.close();
    this.arrange();
    if (this.tabs.size === 0) this.stop();
  }

  private setWant(tab: Tab, want: Want | undefined): void {
    const before = tab.want;
    if (want?.visible && !(before?.visible && before.sessionId === want.sessionId)) {
      tab.shownMs = Date.now();
    }
    if (before?.sessionId !== want?.sessionId) this.leaveFeed(tab);
    tab.want = want;
    if (want !== undefined) {
      const feed = this.feed(want.sessionId);
      if (!feed.tabs.has(tab)) feed.join(tab);
      else if (before !== undefined && before.framesPerSecond < 0) feed.showPicture(tab);
    }
    this.arrange();
  }

  private leaveFeed(tab: Tab): void {
    if (tab.want === undefined) return;
    const feed = this.feeds.get(tab.want.sessionId);
    tab.clear();
    feed?.tabs.delete(tab);
    if (feed && feed.tabs.size === 0) {
      feed.stop();
      this.feeds.delete(feed.sessionId);
    }
  }

  private feed(sessionId: string): Feed {
    const known = this.feeds.get(sessionId);
    if (known !== undefined) return known;
    const feed = new Feed(sessionId, this.client);
    this.feeds.set(sessionId, feed);
    return feed;
  }

  /** Give the few streams to the sessions on screen, the one shown last first. */
  private arrange(): void {
    const ranked = [...this.feeds.values()].sort((a, b) => rank(b) - rank(a));
    for (const feed of ranked.slice(MOST_FEEDS)) if (feed.active) feed.park();
    for (const feed of ranked.slice(0, MOST_FEEDS)) feed.resume();
  }

  private async call(
    tab: Tab,
    message: Extract<FromTab, { type: "call" }>,
    signal: AbortSignal,
  ): Promise<void> {
    const { id } = message;
    const fail = (failure: Failure, final: boolean) => {
      if (!signal.aborted) tab.send({ type: "failure", id, failure, final });
    };
    try {
      const answer = await callRepeatedly(this.client, this.lane, message.name, message.request, {
        signal,
        onRetry: (failure) => fail(failure, false),
      });
      if (!signal.aborted) tab.send({ type: "answer", id, answer });
    } catch (error) {
      fail(isFailure(error) ? error : failureOf(error), true);
    }
  }

  private start(): void {
    this.sweeping ??= setInterval(() => this.sweep(), SWEEP_MS);
    this.list ??= new Follower<WatchSessionsResponse>({
      open: (signal) => this.client.watchSessions({ timestampMs: BigInt(Date.now()) }, { signal }),
      onMessage: (message) => this.takeList(message),
      onLink: (link) => {
        this.listLink = link;
        this.broadcast({ type: "listLink", link });
        if (link.state === "live") this.restartClock();
      },
    });
  }

  private stop(): void {
    this.list?.close();
    this.list = undefined;
    this.listLink = { state: "connecting" };
    clearTimeout(this.clockTimer);
    clearInterval(this.sweeping);
    this.sweeping = undefined;
  }

  private takeList(message: WatchSessionsResponse): void {
    const { sessions, removedSessionIds: removed, reset } = toPlain(message);
    if (reset) this.sessions.clear();
    this.listed ||= reset;
    for (const one of sessions) this.sessions.set(one.sessionId, one);
    for (const id of removed) this.sessions.delete(id);
    if (!reset && sessions.length + removed.length === 0) return;
    this.broadcast({ type: "sessions", reset, sessions, removed });
  }

  private retryNow(): void {
    this.list?.retryNow();
    for (const feed of this.feeds.values()) feed.retryNow();
  }

  private restartClock(): void {
    this.clockRounds = 0;
    this.compareClocksIn(0);
  }

  private compareClocksIn(waitMs: number): void {
    clearTimeout(this.clockTimer);
    this.clockTimer = setTimeout(() => void this.compareClocks(), waitMs);
  }

  private async compareClocks(): Promise<void> {
    const sentMs = Date.now();
    try {
      const request = { timestampMs: BigInt(sentMs), maxSessions: 1 };
      const answer = await this.client.listSessions(request, { timeoutMs: 5_000 });
      this.clock.add(sentMs, Number(answer.timestampMs), Date.now());
      for (const tab of this.tabs.keys()) this.tellClock(tab);
      this.clockRounds += 1;
    } catch {
      // The list stream says whether the link is lost; a monitor that was busy is asked again.
      this.clockRounds = CLOCK_FIRST_ROUNDS;
    }
    if (this.list === undefined) return;
    this.compareClocksIn(this.clockRounds < CLOCK_FIRST_ROUNDS ? CLOCK_FIRST_MS : CLOCK_THEN_MS);
  }

  private tellClock(tab: Tab): void {
    const best = this.clock.best();
    if (best !== undefined) tab.send({ type: "clock", offsetMs: best.offsetMs });
  }

  private broadcast(message: ToTab): void {
    for (const tab of this.tabs.keys()) tab.send(message);
  }
}

function rank(feed: Feed): number {
  let best = 0;
  for (const tab of feed.tabs) {
    best = Math.max(best, tab.shownMs + (tab.want?.visible ? Number.MAX_SAFE_INTEGER / 2 : 0));
  }
  return best;
}

function isFailure(error: unknown): error is Failure {
  return typeof error === "object" && error !== null && "fault" in error && "retriable" in error;
}
