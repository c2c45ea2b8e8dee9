import type { Link } from "../rpc/follow";
import type { SessionSummary } from "../rpc/plain";
import { Store } from "../store/external";
import { lookOf } from "../store/states";
import type { ToTab } from "../worker/protocol";
import type { Connection } from "./connection";

/** Losses remembered per session for the line in the list. */
const LINE_POINTS = 60;

/** One row of the list. */
export interface SessionRow {
  summary: SessionSummary;
  /** The last losses seen, oldest first. */
  losses: number[];
}

export interface SessionList {
  link: Link;
  /** Live ones first, then the newest. */
  rows: SessionRow[];
  /** Whether a list has come at all. */
  known: boolean;
}

/** Every session the monitor knows, kept up to date. */
export class Sessions {
  readonly list = new Store<SessionList>(
    { link: { state: "connecting" }, rows: [], known: false },
    400,
  );
  private readonly rows = new Map<string, SessionRow>();

  constructor(connection: Connection) {
    connection.listen((message) => this.hear(message));
  }

  private hear(message: ToTab): void {
    if (message.type === "listLink") {
      this.list.update((list) => ({ ...list, link: message.link }), true);
    }
    if (message.type !== "sessions") return;
    if (message.reset) this.forgetAbsent(message.sessions);
    for (const summary of message.sessions) this.take(summary);
    for (const id of message.removed) this.rows.delete(id);
    const rows = [...this.rows.values()].sort(byLiveness);
    this.list.update(({ link }) => ({ link, rows, known: true }));
  }

  private forgetAbsent(sessions: SessionSummary[]): void {
    const present = new Set(sessions.map((one) => one.sessionId));
    for (const id of this.rows.keys()) if (!present.has(id)) this.rows.delete(id);
  }

  private take(summary: SessionSummary): void {
    const known = this.rows.get(summary.sessionId);
    const losses = known?.losses ?? [];
    const moved = summary.globalStep !== known?.summary.globalStep;
    const next = moved && summary.loss !== undefined ? [...losses, summary.loss] : losses;
    this.rows.set(summary.sessionId, { summary, losses: next.slice(-LINE_POINTS) });
  }
}

function byLiveness(a: SessionRow, b: SessionRow): number {
  const ended = Number(lookOf(a.summary.state).ended) - Number(lookOf(b.summary.state).ended);
  return ended || b.summary.startedMs - a.summary.startedMs;
}
