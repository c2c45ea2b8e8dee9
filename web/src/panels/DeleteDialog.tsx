import { useState } from "react";
import type { Failure } from "../rpc/failure";
import type { SessionSummary } from "../rpc/plain";
import type { Connection } from "../runtime/connection";
import { dayWords, formatMinute } from "../store/format";
import { shortId } from "../store/runs";
import { Modal } from "../ui/Modal";

/** Names that are listed in the question. */
const NAMED = 5;

/** Asks once whether ended runs shall be forgotten, and has them deleted one after the other. */
export function DeleteDialog(props: {
  connection: Connection;
  runs: SessionSummary[];
  onClose: () => void;
  /** Every one is gone. */
  onDeleted: () => void;
}) {
  const { connection, runs, onClose, onDeleted } = props;
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const title = runs.length === 1 ? `“${nameOf(runs[0])}”` : `${runs.length} runs`;
  const remove = async () => {
    setBusy(true);
    setProblem("");
    try {
      for (const run of runs) await deleteOne(connection, run.sessionId);
      onDeleted();
    } catch (failure) {
      setProblem((failure as Failure).message);
      setBusy(false);
    }
  };
  return (
    <Modal label={`Delete ${title}?`} className="ask" onClose={onClose}>
      <h2>Delete {title}?</h2>
      <p className="ask-names">{runs.length > 1 ? namesOf(runs) : whichOf(runs[0])}</p>
      <p>Curves, pictures, epochs and the record of commands are gone for good.</p>
      {problem !== "" && (
        <p className="control-problem" role="alert">
          {problem}
        </p>
      )}
      <div className="ask-buttons">
        <button type="button" className="button big" onClick={onClose}>
          Keep
        </button>
        <button
          type="button"
          className="button big"
          data-tone="bad"
          data-testid="delete-confirm"
          disabled={busy}
          onClick={() => void remove()}
        >
          {busy ? "Deleting…" : "Delete"}
        </button>
      </div>
    </Modal>
  );
}

async function deleteOne(connection: Connection, sessionId: string): Promise<void> {
  try {
    await connection.call("deleteSession", { sessionId, timestampMs: BigInt(Date.now()) });
  } catch (failure) {
    // Someone else was quicker, or an answer was lost and the question asked again.
    if ((failure as Failure).fault !== "unknown-session") throw failure;
  }
}

function nameOf(run: SessionSummary | undefined): string {
  return run?.sessionName || run?.sessionId || "";
}

/** Tells a run from others of its name. */
function whichOf(run: SessionSummary | undefined): string {
  if (run === undefined) return "";
  const day = dayWords(run.startedMs, run.timestampMs);
  return `Began ${day}, ${formatMinute(run.startedMs)} · ${shortId(run.sessionId)}`;
}

function namesOf(runs: SessionSummary[]): string {
  const names = runs.slice(0, NAMED).map(nameOf).join(", ");
  return runs.length > NAMED ? `${names} and ${runs.length - NAMED} more` : names;
}
