import { backoffMs } from "./backoff";
import { type Failure, type Fault, failureOf } from "./failure";

/** What a page shows of a stream. */
export interface Link {
  state: "connecting" | "live" | "lost" | "parked";
  /** Who is away; set when lost. */
  fault?: Fault;
  /** What the last failure said; set when lost. */
  message?: string;
  /** When the next try is due, ms since the epoch; set when lost. */
  retryAtMs?: number;
}

/** After so long without a message, a stream that should speak each second counts as lost. */
export const SILENCE_MS = 5_000;
/** A session that is not there is asked for again only seldom: it may be re-created. */
const ABSENT_RETRY_MS = 5_000;
/** A stream that lived this long was healthy: the next back-off begins anew. */
const HEALTHY_MS = 2_000;

export interface FollowOptions<T> {
  /** Open the stream; asked anew at each try, so that it can resume. */
  open(signal: AbortSignal): AsyncIterable<T>;
  onMessage(message: T): void;
  onLink(link: Link): void;
}

/**
 * Follows an endless server stream: opens it, notices silence, and opens it again after a jittered
 * back-off until it is closed. Streams have no deadline.
 */
export class Follower<T> {
  private failures = 0;
  /** By the steady clock: the time of day may be set at any moment. */
  private heardMs = 0;
  private abort: AbortController | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  constructor(private readonly options: FollowOptions<T>) {
    options.onLink({ state: "connecting" });
    void this.run();
  }

  /** End it for good. */
  close(): void {
    this.closed = true;
    clearTimeout(this.retry);
    this.abort?.abort();
  }

  /** Try at once instead of waiting for the back-off; nothing while a stream is open. */
  retryNow(): void {
    if (this.retry === undefined || this.closed) return;
    clearTimeout(this.retry);
    void this.run();
  }

  private async run(): Promise<void> {
    this.retry = undefined;
    const abort = new AbortController();
    this.abort = abort;
    this.heardMs = performance.now();
    const openedMs = this.heardMs;
    const watchdog = setInterval(() => {
      if (this.silent()) abort.abort();
    }, 500);
    const failure = await this.read(abort.signal);
    clearInterval(watchdog);
    abort.abort();
    if (this.closed) return;
    if (this.heardMs - openedMs > HEALTHY_MS) this.failures = 0;
    this.wait(failure);
  }

  /** Read until the stream ends, and say why it did. */
  private async read(signal: AbortSignal): Promise<Failure> {
    let live = false;
    try {
      for await (const message of this.options.open(signal)) {
        if (this.closed) break;
        this.heardMs = performance.now();
        if (!live) this.options.onLink({ state: "live" });
        live = true;
        this.options.onMessage(message);
      }
    } catch (error) {
      if (!this.silent()) return failureOf(error);
      return { fault: "silence", message: "nothing was heard for 5 seconds", retriable: true };
    }
    return { fault: "error", message: "the stream ended", retriable: true };
  }

  private silent(): boolean {
    return performance.now() - this.heardMs > SILENCE_MS;
  }

  private wait(failure: Failure): void {
    const absent = failure.fault === "unknown-session";
    const waitMs = absent ? ABSENT_RETRY_MS : backoffMs(this.failures);
    this.failures += 1;
    const { fault, message } = failure;
    this.options.onLink({ state: "lost", fault, message, retryAtMs: Date.now() + waitMs });
    this.retry = setTimeout(() => void this.run(), waitMs);
  }
}
