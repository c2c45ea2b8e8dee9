import { backoffMs } from "../rpc/backoff";
import type { DashboardClient } from "../rpc/client";
import { type Failure, failureOf } from "../rpc/failure";
import { toPlain } from "../rpc/plain";
import type { Lane } from "./lane";
import type { CallName, Calls } from "./protocol";

/** How long one try may take, in ms; a retry repeats the same request. */
const TRY_MS = 10_000;
/** How long a command is tried again on a lost link before it is given up, in ms. */
const GIVE_UP_MS = 120_000;

/**
 * Questions: they wait for each other, so that a command always finds a free connection. One whose
 * answer was too large is not asked again.
 */
const READING = new Set<CallName>(["queryMetrics", "getBatch"]);

interface Progress {
  /** Called when a try failed and another follows. */
  onRetry(failure: Failure): void;
  /** Aborts between and within tries: the tab that asked is gone. */
  signal: AbortSignal;
}

/**
 * Make a unary call, again and again while only the link fails. Every request is safe to repeat:
 * queries change nothing, and a command is known by its id.
 *
 * @throws Failure when it was refused, or nothing answered for two minutes.
 */
export async function callRepeatedly<N extends CallName>(
  client: DashboardClient,
  lane: Lane,
  name: N,
  request: Calls[N]["request"],
  progress: Progress,
): Promise<Calls[N]["answer"]> {
  const sinceMs = Date.now();
  for (let attempt = 0; ; attempt++) {
    try {
      const call = () => callOnce(client, name, request, progress.signal);
      return await (READING.has(name) ? lane.run(call) : call());
    } catch (error) {
      const failure = failureOf(error);
      if (!canHelp(name, failure) || progress.signal.aborted) throw failure;
      if (Date.now() - sinceMs > GIVE_UP_MS) throw givenUp(failure);
      progress.onRetry(failure);
      await pause(backoffMs(attempt), progress.signal);
      if (progress.signal.aborted) throw failure;
    }
  }
}

/** Whether to ask the same again can help. */
function canHelp(name: CallName, failure: Failure): boolean {
  return failure.retriable && !(READING.has(name) && failure.fault === "overflow");
}

async function callOnce<N extends CallName>(
  client: DashboardClient,
  name: N,
  request: Calls[N]["request"],
  signal: AbortSignal,
): Promise<Calls[N]["answer"]> {
  // A command that is on its way goes on, though its tab be closed at that very moment.
  const options = { timeoutMs: TRY_MS, ...(name === "sendCommand" ? {} : { signal }) };
  const answers: {
    [K in CallName]: (request: Calls[K]["request"]) => Promise<Calls[K]["answer"]>;
  } = {
    sendCommand: async (asked) => toPlain(await client.sendCommand(asked, options)),
    queryMetrics: async (asked) => toPlain(await client.queryMetrics(asked, options)).series,
    getBatch: async (asked) =>
      requireBatch(toPlain(await client.getBatch(asked, options)).batchData),
    deleteSession: async (asked) => {
      await client.deleteSession(asked, options);
    },
  };
  return answers[name](request);
}

function requireBatch(batch: Calls["getBatch"]["answer"] | undefined): Calls["getBatch"]["answer"] {
  if (batch === undefined) throw new Error("the monitor answered GetBatch without a batch");
  return batch;
}

function givenUp(failure: Failure): Failure {
  const message = `not delivered: no answer for two minutes (${failure.message})`;
  return { ...failure, message, retriable: false };
}

/** Wait, but not longer than until the signal aborts. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
