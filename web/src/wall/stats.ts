import { MomentRing, RateMeter } from "../store/rates";

/** Plain numbers of how pictures flow, for the page and for benchmarks. */
export interface WallStats {
  /** Pictures of this session that reached the browser. */
  received: number;
  /** Times the wall was painted with a new picture. */
  painted: number;
  /** Different global steps that were painted. */
  distinctSteps: number;
  /** The step painted last; −1 before the first. */
  lastStep: number;
  /** Batch end to painted pixel of the last picture, ms; NaN while unknown. */
  lastLatencyMs: number;
  newPerSecond: number;
  paintedPerSecond: number;
  /** When pictures were painted (performance.now(), ms), oldest first; the last 1,200. */
  paintTimes: number[];
  /** Latency of each of those, ms. */
  latencies: number[];
}

declare global {
  interface Window {
    trainmonStats?: WallStats;
  }
}

/** Counts what is received and painted. */
export class Meter {
  private readonly arrivals = new RateMeter();
  private readonly paints = new RateMeter();
  private readonly paintTimes = new MomentRing();
  private readonly latencies = new MomentRing();
  readonly stats: WallStats = {
    received: 0,
    painted: 0,
    distinctSteps: 0,
    lastStep: -1,
    lastLatencyMs: Number.NaN,
    newPerSecond: 0,
    paintedPerSecond: 0,
    paintTimes: this.paintTimes.list(),
    latencies: this.latencies.list(),
  };
  private readonly nowMs: () => number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.nowMs = nowMs;
  }

  /** The worker has counted this many pictures so far. */
  arrived(total: number): void {
    const fresh = total < this.stats.received ? total : total - this.stats.received;
    const now = this.nowMs();
    for (let i = 0; i < Math.min(fresh, 64); i++) this.arrivals.mark(now);
    this.stats.received = total;
  }

  /** A picture is on the screen. */
  paintedStep(step: number, latencyMs: number | undefined): void {
    const now = this.nowMs();
    this.paints.mark(now);
    this.paintTimes.push(now);
    this.stats.painted += 1;
    if (step !== this.stats.lastStep) this.stats.distinctSteps += 1;
    this.stats.lastStep = step;
    this.stats.lastLatencyMs = latencyMs ?? Number.NaN;
    if (latencyMs !== undefined) this.latencies.push(latencyMs);
  }

  /** Bring the rates up to date. */
  refresh(): WallStats {
    const now = this.nowMs();
    this.stats.newPerSecond = this.arrivals.rate(now);
    this.stats.paintedPerSecond = this.paints.rate(now);
    return this.stats;
  }

  /** The median latency of the last second or so, ms. */
  typicalLatencyMs(): number | undefined {
    const recent = this.latencies
      .list()
      .slice(-60)
      .sort((a, b) => a - b);
    return recent[recent.length >> 1];
  }
}
