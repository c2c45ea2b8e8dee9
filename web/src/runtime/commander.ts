import type { Failure } from "../rpc/failure";
import type { CommandRecord } from "../rpc/plain";
import { type Action, newCommandId, type PendingCommand } from "../store/commands";
import { Store } from "../store/external";
import type { Connection } from "./connection";

/** Commands other than pause, resume and stop lapse after an hour undelivered, in ms. */
const TIME_TO_LIVE_MS = 3_600_000n;
const LASTING = new Set<Action["case"]>(["pause", "resume", "stop"]);
const REFUSED_KEPT = 20;

/** Sends commands and keeps those that are not on record yet. */
export class Commander {
  /** Newest last. */
  readonly pending = new Store<PendingCommand[]>([], 0);

  constructor(
    private readonly sessionId: string,
    private readonly connection: Connection,
    private readonly onRecord: (record: CommandRecord) => void,
  ) {}

  /** Ask for something. Sent once; on a lost link repeated under the same id. */
  async send(action: Action): Promise<void> {
    const id = newCommandId();
    const entry: PendingCommand = {
      id,
      action,
      sinceMs: Date.now(),
      state: "sending",
      message: "",
    };
    this.pending.update((list) => [...list, entry].slice(-REFUSED_KEPT), true);
    const command = {
      commandId: id,
      issuedBy: whoAsks(),
      timestampMs: BigInt(Date.now()),
      action,
      ...(LASTING.has(action.case) ? {} : { timeToLiveMs: TIME_TO_LIVE_MS }),
    };
    const request = { sessionId: this.sessionId, command, timestampMs: BigInt(Date.now()) };
    try {
      const record = await this.connection.call("sendCommand", request, (failure) =>
        this.mark(id, "retrying", failure.message),
      );
      this.onRecord(record);
    } catch (failure) {
      this.mark(id, "refused", (failure as Failure).message);
    }
  }

  /** Those that are on record now are pending no longer. */
  settle(records: CommandRecord[]): void {
    if (this.pending.get().length === 0) return;
    const known = new Set(records.map((record) => record.command?.commandId));
    const left = this.pending.get().filter((entry) => !known.has(entry.id));
    if (left.length !== this.pending.get().length) this.pending.set(left, true);
  }

  /** Take a refused command off the list. */
  dismiss(id: string): void {
    this.pending.update((list) => list.filter((entry) => entry.id !== id), true);
  }

  private mark(id: string, state: PendingCommand["state"], message: string): void {
    this.pending.update(
      (list) => list.map((entry) => (entry.id === id ? { ...entry, state, message } : entry)),
      true,
    );
  }
}

/** Names this browser on the record: a short random sign, the same for all its tabs. */
function whoAsks(): string {
  const key = "trainmon.viewer";
  try {
    const known = localStorage.getItem(key);
    if (known !== null) return `dashboard ${known}`;
    const made = Math.random().toString(36).slice(2, 6);
    localStorage.setItem(key, made);
    return `dashboard ${made}`;
  } catch {
    return "dashboard";
  }
}
