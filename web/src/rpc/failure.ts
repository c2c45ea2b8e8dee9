import { Code, ConnectError } from "@connectrpc/connect";

/** Who is away, as far as an error tells. */
export type Fault = "gateway" | "monitor" | "silence" | "unknown-session" | "overflow" | "error";

export interface Failure {
  fault: Fault;
  /** For people; plain text of unknown origin, never markup. */
  message: string;
  /** Whether trying the same again can help. */
  retriable: boolean;
}

const RETRIABLE = new Set<Code>([
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.Aborted,
  Code.Canceled,
  Code.Unknown,
  Code.ResourceExhausted,
]);

/** Say whose failure it was: no answer at all is the gateway's, a status is what it says. */
export function failureOf(reason: unknown): Failure {
  const error = ConnectError.from(reason);
  const message = error.rawMessage;
  if (isTransportBreak(error)) return { fault: "gateway", message, retriable: true };
  if (error.code === Code.Unavailable) return { fault: "monitor", message, retriable: true };
  if (error.code === Code.NotFound) return { fault: "unknown-session", message, retriable: false };
  if (error.code === Code.ResourceExhausted) return { fault: "overflow", message, retriable: true };
  return { fault: "error", message, retriable: RETRIABLE.has(error.code) };
}

/** The connection itself failed: fetch rejects with a TypeError; a cut body lacks its trailer. */
function isTransportBreak(error: ConnectError): boolean {
  if (error.cause instanceof TypeError) return true;
  return /missing trailer|premature|network error|failed to fetch|load failed/i.test(
    error.rawMessage,
  );
}
