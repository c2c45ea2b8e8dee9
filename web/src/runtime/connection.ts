import type { Failure } from "../rpc/failure";
import type { CallName, Calls, FromTab, ToTab, Want } from "../worker/protocol";

/** The worker is asked for a sign of life so often, and given up after so long, in ms. */
const PING_MS = 2_000;
const WORKER_SILENCE_MS = 10_000;

type Listener = (message: ToTab) => void;

interface Pending {
  message: Extract<FromTab, { type: "call" }>;
  resolve(answer: Calls[CallName]["answer"]): void;
  reject(failure: Failure): void;
  onRetry: ((failure: Failure) => void) | undefined;
}

/**
 * A tab's line to the worker that owns the streams: the browser's one SharedWorker, else a worker
 * of its own, else the same code in the page. A worker that falls silent is started anew.
 */
export class Connection {
  private port: MessagePort | undefined;
  private worker: Worker | undefined;
  private releaseLock: () => void = () => undefined;
  /** Monitor's clock less this machine's, in ms; undefined until they were compared. */
  clockOffsetMs: number | undefined;
  private readonly listeners = new Set<Listener>();
  private readonly pending = new Map<number, Pending>();
  private want: Want | undefined;
  private nextCall = 1;
  /** By the steady clock: the time of day may be set at any moment. */
  private heardMs = 0;
  private pinging: ReturnType<typeof setInterval> | undefined;

  /** Connect; nothing happens before. */
  open(): void {
    this.connect();
    this.pinging = setInterval(() => this.ping(), PING_MS);
    window.addEventListener("pagehide", this.leave);
    window.addEventListener("pageshow", this.comeBack);
  }

  /** Let go of the worker. */
  close(): void {
    clearInterval(this.pinging);
    window.removeEventListener("pagehide", this.leave);
    window.removeEventListener("pageshow", this.comeBack);
    this.disconnect();
  }

  listen(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Say what this tab wants to see; the same again is not sent. */
  setWant(want: Want | undefined): void {
    if (JSON.stringify(want) === JSON.stringify(this.want)) return;
    this.want = want;
    this.post({ type: "want", want });
  }

  acknowledge(): void {
    this.post({ type: "ack" });
  }

  /** Try lost links at once. */
  retryNow(): void {
    this.post({ type: "retry" });
  }

  /**
   * Make a unary call by way of the worker, repeated by it while only the link fails.
   *
   * @throws Failure when it was refused or given up.
   */
  call<N extends CallName>(
    name: N,
    request: Calls[N]["request"],
    onRetry?: (failure: Failure) => void,
  ): Promise<Calls[N]["answer"]> {
    const id = this.nextCall++;
    return new Promise((resolve, reject) => {
      const message = { type: "call", id, name, request } as const;
      this.pending.set(id, { message, resolve, reject, onRetry });
      this.post(message);
    });
  }

  private connect(): void {
    this.heardMs = performance.now();
    const port = this.openPort();
    this.port = port;
    port.onmessage = (event: MessageEvent<ToTab>) => this.hear(event.data);
    port.start();
    this.releaseLock = holdLock((lock) => port.postMessage({ type: "hello", lock }));
    this.post({ type: "want", want: this.want });
    // Every call is safe to repeat: what the worker before was asked, this one is asked too.
    for (const { message } of this.pending.values()) this.post(message);
  }

  private openPort(): MessagePort {
    const shared = openShared();
    if (shared !== undefined) return shared.port;
    const channel = new MessageChannel();
    if (typeof Worker === "undefined") void serveInPage(channel.port2);
    else {
      this.worker = new Worker(new URL("../worker/entry.ts", import.meta.url), { type: "module" });
      this.worker.postMessage("port", [channel.port2]);
    }
    return channel.port1;
  }

  private disconnect(): void {
    this.post({ type: "bye" });
    this.releaseLock();
    this.port?.close();
    this.port = undefined;
    this.worker?.terminate();
    this.worker = undefined;
  }

  private hear(message: ToTab): void {
    this.heardMs = performance.now();
    if (message.type === "clock") this.clockOffsetMs = message.offsetMs;
    if (message.type === "answer") this.settle(message.id)?.resolve(message.answer);
    else if (message.type === "failure") this.fail(message);
    else for (const listener of this.listeners) listener(message);
  }

  private fail(message: Extract<ToTab, { type: "failure" }>): void {
    if (message.final) this.settle(message.id)?.reject(message.failure);
    else this.pending.get(message.id)?.onRetry?.(message.failure);
  }

  private settle(id: number): Pending | undefined {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    return pending;
  }

  private ping(): void {
    const silentMs = performance.now() - this.heardMs;
    // A page that slept did not listen: it asks before it judges.
    if (silentMs > WORKER_SILENCE_MS && silentMs < 2 * WORKER_SILENCE_MS) this.restart();
    else if (silentMs >= 2 * WORKER_SILENCE_MS) {
      this.heardMs = performance.now() - WORKER_SILENCE_MS / 2;
    }
    this.post({ type: "ping" });
  }

  private restart(): void {
    this.disconnect();
    this.connect();
  }

  private readonly leave = (): void => this.disconnect();

  private readonly comeBack = (event: PageTransitionEvent): void => {
    if (event.persisted) this.connect();
  };

  private post(message: FromTab): void {
    this.port?.postMessage(message);
  }
}

/** The browser's one worker; undefined where there is none, or where it is refused to the page. */
function openShared(): SharedWorker | undefined {
  if (typeof SharedWorker === "undefined") return undefined;
  try {
    return new SharedWorker(new URL("../worker/entry.ts", import.meta.url), {
      type: "module",
      name: "trainmon",
    });
  } catch {
    // Where a person blocks a site's storage, its shared workers are blocked, too.
    return undefined;
  }
}

async function serveInPage(port: MessagePort): Promise<void> {
  const [{ Hub }, { createDashboardClient }] = await Promise.all([
    import("../worker/hub"),
    import("../rpc/client"),
  ]);
  new Hub(createDashboardClient(location.origin)).attach(port);
}

/**
 * Hold a lock until it is released or this page is gone, by whichever way; the worker waits for it.
 * Its name is told only once it is held: a worker that asked for it first would be granted it, and
 * take the living page for one that is gone.
 *
 * @returns What releases it.
 */
function holdLock(onHeld: (name: string) => void): () => void {
  if (!("locks" in navigator)) return () => undefined;
  const name = `trainmon-tab-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  navigator.locks
    .request(name, () => {
      onHeld(name);
      return released;
    })
    // Refused where storage is blocked: the worker then notices by silence that a tab is gone.
    .catch(() => undefined);
  return release;
}
