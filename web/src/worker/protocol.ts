/** What a tab and the worker that owns the streams say to each other. Structured clone, no JSON. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  DeleteSessionRequestSchema,
  GetBatchRequestSchema,
  QueryMetricsRequestSchema,
  SendCommandRequestSchema,
} from "../gen/trainmon/v1/dashboard_pb";
import type { Failure } from "../rpc/failure";
import type { Link } from "../rpc/follow";
import type {
  BatchData,
  CommandRecord,
  MetricSeries,
  SessionSummary,
  WatchEvent,
} from "../rpc/plain";
import type { SessionView } from "../store/session";
import type { Slow } from "./easing";

/** What a tab wants to see of one session. */
export interface Want {
  sessionId: string;
  /** Pictures per second, 1 to 60; less than 0: none. */
  framesPerSecond: number;
  /** Edge of a tile in pixels, 32 to 512. */
  tileSize: number;
  /** Whether the tab is on screen; those that are go first. */
  visible: boolean;
}

/** The unary calls a tab may ask for, with their requests and answers. */
export interface Calls {
  sendCommand: {
    request: MessageInitShape<typeof SendCommandRequestSchema>;
    answer: CommandRecord;
  };
  queryMetrics: {
    request: MessageInitShape<typeof QueryMetricsRequestSchema>;
    answer: MetricSeries[];
  };
  getBatch: { request: MessageInitShape<typeof GetBatchRequestSchema>; answer: BatchData };
  deleteSession: {
    request: MessageInitShape<typeof DeleteSessionRequestSchema>;
    answer: undefined;
  };
}

export type CallName = keyof Calls;

export type FromTab =
  /** The tab holds this lock for as long as it lives. */
  | { type: "hello"; lock: string }
  | { type: "want"; want: Want | undefined }
  /** The last picture was taken; the next may come. */
  | { type: "ack" }
  | { type: "call"; id: number; name: CallName; request: Calls[CallName]["request"] }
  /** Do not wait for the back-off. */
  | { type: "retry" }
  | { type: "ping" }
  | { type: "bye" };

export type ToTab =
  | { type: "sessions"; reset: boolean; sessions: SessionSummary[]; removed: string[] }
  | { type: "listLink"; link: Link }
  /** Monitor's clock less this machine's. */
  | { type: "clock"; offsetMs: number }
  /** All that is known of the session wanted; what was held before is forgotten. */
  | { type: "view"; sessionId: string; view: SessionView }
  | { type: "events"; sessionId: string; events: WatchEvent[] }
  | { type: "link"; sessionId: string; link: Link }
  /**
   * A picture; `received` counts those that reached the worker since the session was opened. One
   * that is not `live` is the newest of before, such as that of a snapshot: its age is no latency.
   */
  | { type: "picture"; sessionId: string; picture: BatchData; received: number; live: boolean }
  | { type: "received"; sessionId: string; received: number }
  /** Why fewer or smaller pictures are asked for than wanted; undefined: they are not. */
  | { type: "eased"; sessionId: string; slow: Slow | undefined }
  | { type: "answer"; id: number; answer: Calls[CallName]["answer"] }
  /** A call failed for good, or (`final` false) is being tried again. */
  | { type: "failure"; id: number; failure: Failure; final: boolean }
  | { type: "pong" };

/** The least of MessagePort that is used, so that a test can stand in. */
export interface Port {
  postMessage(message: ToTab): void;
  onmessage: ((event: MessageEvent<FromTab>) => void) | null;
}
