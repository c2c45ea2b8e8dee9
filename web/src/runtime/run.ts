import type { Link } from "../rpc/follow";
import type { BatchData, MetricSeries, WatchEvent } from "../rpc/plain";
import { Store } from "../store/external";
import { Metrics } from "../store/metrics";
import { applyEvent, emptySession, type SessionView } from "../store/session";
import { lookOf } from "../store/states";
import { EMPTY_WALL, Player, type WallView } from "../wall/player";
import type { Slow } from "../worker/easing";
import type { ToTab } from "../worker/protocol";
import { Commander } from "./commander";
import type { Connection } from "./connection";
import { History } from "./history";
import { preferences } from "./preferences";
import { Scrubber } from "./scrubber";

/** How often the numbers beside the pictures are brought up to date, in ms. */
const GAUGE_MS = 250;

/** A key moves the moment by such a part of what is on the charts; with shift, by ten of them. */
const NUDGE = 1 / 200;
const FAR = 10;

/** Rates and latency as the page measures them. */
export interface Gauges {
  newPerSecond: number;
  paintedPerSecond: number;
  latencyMs: number | undefined;
}

const IDLE: Gauges = { newPerSecond: 0, paintedPerSecond: 0, latencyMs: undefined };

/** One session on screen: everything its panels read, fed by the worker. */
export class Run {
  readonly view = new Store<SessionView>(emptySession);
  readonly link = new Store<Link>({ state: "connecting" }, 0);
  readonly gauges = new Store<Gauges>(IDLE, 0);
  readonly wallView = new Store<WallView>(EMPTY_WALL, 0);
  readonly frozen = new Store<boolean>(false, 0);
  /** Why fewer or smaller pictures are asked for than wanted. */
  readonly slow = new Store<Slow | undefined>(undefined, 0);
  readonly metrics = new Metrics();
  readonly player: Player;
  readonly history: History;
  readonly scrubber: Scrubber;
  readonly commander: Commander;
  private tileSize = 128;
  private ticking: ReturnType<typeof setInterval> | undefined;
  /** The newest attempt seen: with another one, steps have other pictures. */
  private attempt = 0;
  private readonly undo: (() => void)[] = [];

  constructor(
    readonly sessionId: string,
    readonly connection: Connection,
  ) {
    this.player = new Player({
      acknowledge: () => connection.acknowledge(),
      latencyMs: (batch) => this.latencyOf(batch),
      classNames: () => this.view.get().registration?.classNames ?? [],
    });
    this.history = new History(sessionId, connection, this.metrics);
    this.scrubber = new Scrubber({
      ask: (step) => connection.call("getBatch", this.about(step)),
      lastStep: () => this.newestStep(),
      growing: () => !this.ended,
      onLookBack: () => {
        this.player.lookBack();
        this.sayWant();
      },
      onFrame: (frame) => {
        this.player.showPast(frame);
        this.wallView.set(this.player.view());
      },
      onLive: () => {
        this.player.backToLive();
        this.sayWant();
      },
    });
    this.commander = new Commander(sessionId, connection, (record) =>
      this.apply([{ case: "commandRecord", value: record }]),
    );
  }

  /** Begin to follow the session. */
  open(): void {
    this.undo.push(this.connection.listen((message) => this.hear(message)));
    this.undo.push(preferences.subscribe(() => this.adopt()));
    document.addEventListener("visibilitychange", this.sayWant);
    this.undo.push(() => document.removeEventListener("visibilitychange", this.sayWant));
    this.ticking = setInterval(() => this.tick(), GAUGE_MS);
    window.trainmonStats = this.player.meter.stats;
    this.adopt();
  }

  /** Let go of the session. */
  close(): void {
    clearInterval(this.ticking);
    for (const undo of this.undo.splice(0)) undo();
    this.history.close();
    this.scrubber.close();
    this.player.close();
    this.connection.setWant(undefined);
  }

  setFrozen(frozen: boolean): void {
    this.frozen.set(frozen, true);
    this.player.setFrozen(frozen);
  }

  /** The edge of a tile on screen, in device pixels: pictures are asked for near that size. */
  setTilePixels(pixels: number): void {
    const sizes = [32, 64, 96, 128, 192, 256, 384, 512];
    this.tileSize = sizes.find((size) => size >= pixels * 0.8) ?? 512;
    this.sayWant();
  }

  /** Whether the run is over: nothing further will come of it. */
  get ended(): boolean {
    return lookOf(this.view.get().summary?.state).ended;
  }

  /** The newest step known; −1 while there is none. */
  newestStep(): number {
    return Math.max(this.metrics.lastStep(), this.view.get().summary?.globalStep ?? -1);
  }

  /** Look at a step, and bring it on the charts. */
  lookAt(step: number): void {
    this.scrubber.goTo(step);
    const moment = this.scrubber.moment.get();
    if (moment !== undefined) this.history.reveal(moment.step);
  }

  /** Zoom about the moment that is looked at, else about the middle; a factor below 1 is closer. */
  zoom(factor: number): void {
    const step = this.scrubber.moment.get()?.step;
    if (step === undefined) this.history.adjust(factor, 0);
    else this.history.zoomAbout(step, factor);
  }

  /** Look a little earlier (-1) or later (1), or much, measured by what is on the charts. */
  nudge(direction: 1 | -1, far: boolean): void {
    const { firstStep, lastStep } = this.history.range();
    const steps = Math.max(1, Math.round((lastStep - firstStep) * NUDGE)) * (far ? FAR : 1);
    const from = this.scrubber.moment.get()?.step ?? this.newestStep();
    if (from >= 0) this.lookAt(from + direction * steps);
  }

  private about(step: number) {
    return {
      sessionId: this.sessionId,
      step: BigInt(step),
      timestampMs: BigInt(Date.now()),
    };
  }

  private adopt(): void {
    const { sortByLoss, wrongOnly, overlay } = preferences.get();
    this.player.setArrangement({ sortByLoss, wrongOnly });
    this.player.setOverlay(overlay);
    this.sayWant();
  }

  private readonly sayWant = (): void => {
    const visible = document.visibilityState === "visible";
    // Who looks back sees no live picture: none is asked for.
    const watching = visible && this.scrubber.moment.get() === undefined;
    this.connection.setWant({
      sessionId: this.sessionId,
      framesPerSecond: watching ? preferences.get().rate : -1,
      tileSize: this.tileSize,
      visible,
    });
  };

  private hear(message: ToTab): void {
    if (!("sessionId" in message) || message.sessionId !== this.sessionId) return;
    if (message.type === "view") this.begin(message.view);
    else if (message.type === "events") this.apply(message.events);
    else if (message.type === "link") this.link.set(message.link);
    else if (message.type === "eased") this.slow.set(message.slow);
    else if (message.type === "received") this.player.meter.arrived(message.received);
    else if (message.type === "picture") {
      this.player.meter.arrived(message.received);
      void this.player.take(message.picture, message.live);
    }
  }

  /** The worker tells all it knows: at first, and again after it was started anew. */
  private begin(view: SessionView): void {
    // A worker that was started anew knows nothing yet: what is shown stays until it does.
    if (view.summary !== undefined || this.view.get().summary === undefined) {
      this.view.set(view, true);
    }
    this.history.expect();
    if (view.summary !== undefined) this.history.load();
  }

  private apply(events: WatchEvent[]): void {
    let view = this.view.get();
    let urgent = false;
    for (const event of events) {
      if (event.case === "metricData") this.takeScalars(event.value.series);
      if (event.case === "snapshot") this.takeSnapshot(event.value.reset);
      if (event.case === "epochData") this.metrics.version += 1;
      urgent ||= event.case === "snapshot" || event.case === "commandRecord";
      urgent ||= event.case === "statusUpdate";
      view = applyEvent(view, event);
    }
    this.view.set(view, urgent);
    this.commander.settle(view.commands);
  }

  private takeScalars(series: MetricSeries[]): void {
    this.metrics.addLive(series);
    const attempt = series.reduce((newest, one) => Math.max(newest, one.attempt), this.attempt);
    if (attempt > this.attempt) this.scrubber.renew();
    this.attempt = attempt;
  }

  /** On a reset what is shown stays until what takes its place is there: nothing flickers. */
  private takeSnapshot(reset: boolean): void {
    if (reset) {
      this.metrics.expectSuccessor();
      this.player.renew();
      this.scrubber.renew();
      this.history.expect();
    }
    this.history.load();
  }

  private tick(): void {
    const stats = this.player.meter.refresh();
    this.gauges.set({
      newPerSecond: stats.newPerSecond,
      paintedPerSecond: stats.paintedPerSecond,
      latencyMs: this.player.meter.typicalLatencyMs(),
    });
    this.wallView.set(this.player.view());
  }

  /** Batch end by the trainer's clock to now by ours, both brought to the monitor's. */
  private latencyOf(batch: BatchData): number | undefined {
    const trainerOffset = this.view.get().performance?.clockOffsetMs;
    const offset = this.connection.clockOffsetMs;
    if (trainerOffset === undefined || offset === undefined) return undefined;
    // By the clock that was compared with the monitor's: the steady one stops while a machine sleeps.
    return Date.now() + offset - (batch.timestampMs + trainerOffset);
  }
}
