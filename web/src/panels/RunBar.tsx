import { useState } from "react";
import { formatMinute } from "../store/format";
import { shortId } from "../store/runs";
import { lookOf } from "../store/states";
import { useRun, useStore, useView } from "../ui/hooks";
import { LineIcon, ShapeIcon } from "../ui/icons";
import { Modal } from "../ui/Modal";
import { StateChip } from "../ui/parts";
import { goTo } from "../ui/route";
import { Brand, ThemeButton } from "./chrome";
import { DeleteDialog } from "./DeleteDialog";
import { LinkLight } from "./LinkLight";
import { PastBar } from "./PastBar";
import { useRunControls } from "./useRunControls";

/** Who is on screen, how it is, and the two buttons that are never hidden. */
export function RunBar(props: {
  onHelp: () => void;
  stopping: boolean;
  setStopping: (open: boolean) => void;
}) {
  const run = useRun();
  const { summary, registration } = useView();
  const link = useStore(run.link);
  const ended = lookOf(summary?.state).ended;
  const framework = [registration?.framework, registration?.frameworkVersion].filter(Boolean);
  const began = summary === undefined ? "" : formatMinute(summary.startedMs);
  const which = [framework.join(" "), began, shortId(run.sessionId)].filter(Boolean);
  return (
    <header className="topbar run-bar">
      <Brand />
      <span className="run-name">
        <h1 title={run.sessionId}>{summary?.sessionName || run.sessionId}</h1>
        <small>{which.join(" · ")}</small>
      </span>
      <StateChip state={summary?.state} testId="session-state" live />
      <LinkLight link={link} over={ended} />
      <PastBar />
      <span className="spacer" />
      <span className="bar-tools">
        <ThemeButton />
        <button
          type="button"
          className="button icon-only"
          aria-label="Keys and help"
          title="Keys and help (?)"
          onClick={props.onHelp}
        >
          <LineIcon name="help" />
        </button>
      </span>
      {ended ? (
        <DeleteButton />
      ) : (
        <RunButtons stopping={props.stopping} setStopping={props.setStopping} />
      )}
    </header>
  );
}

/** A run that is over is neither paused nor stopped: it can only be forgotten. */
function DeleteButton() {
  const run = useRun();
  const { summary } = useView();
  const [asking, setAsking] = useState(false);
  return (
    <div className="run-end">
      <button
        type="button"
        className="button"
        data-testid="delete-run"
        aria-label="Delete run…"
        onClick={() => setAsking(true)}
      >
        <LineIcon name="trash" />
        <span>Delete run…</span>
      </button>
      {asking && summary && (
        <DeleteDialog
          connection={run.connection}
          runs={[summary]}
          onClose={() => setAsking(false)}
          onDeleted={() => goTo("/")}
        />
      )}
    </div>
  );
}

function RunButtons(props: { stopping: boolean; setStopping: (open: boolean) => void }) {
  const controls = useRunControls();
  const { paused } = controls;
  const word = paused ? "Resume" : "Pause";
  return (
    <div className="run-buttons">
      <button
        type="button"
        className="button big"
        data-testid="pause"
        data-tone={paused ? "live" : undefined}
        disabled={!controls.canPause}
        aria-busy={controls.pauseWaiting}
        title={controls.pauseReason || `${word} the training (space)`}
        onClick={controls.togglePause}
      >
        <ShapeIcon shape={paused ? "play" : "pause"} />
        <span data-testid={paused ? "resume" : undefined}>
          {controls.pauseWaiting ? (paused ? "Resuming…" : "Pausing…") : word}
        </span>
      </button>
      <button
        type="button"
        className="button big"
        data-tone="bad"
        data-testid="stop"
        disabled={!controls.canStop}
        aria-busy={controls.stopWaiting}
        title={controls.stopReason || "Stop the run (s); asks once"}
        onClick={() => props.setStopping(true)}
      >
        <ShapeIcon shape="stop" />
        {controls.stopWaiting ? "Stopping…" : "Stop"}
      </button>
      {props.stopping && (
        <StopDialog
          onStop={() => {
            controls.stop();
            props.setStopping(false);
          }}
          onKeep={() => props.setStopping(false)}
        />
      )}
    </div>
  );
}

/** Asks once. The safe answer has the focus. */
function StopDialog({ onStop, onKeep }: { onStop: () => void; onKeep: () => void }) {
  const name = useView().summary?.sessionName;
  return (
    <Modal label="Stop this run?" className="ask" onClose={onKeep}>
      <h2>Stop {name ? `“${name}”` : "this run"}?</h2>
      <p>
        It ends after the batch it is in, as its framework ends a run. A stopped run is not resumed.
      </p>
      <div className="ask-buttons">
        <button type="button" className="button big" onClick={onKeep}>
          Keep training
        </button>
        <button
          type="button"
          className="button big"
          data-tone="bad"
          data-testid="stop-confirm"
          onClick={onStop}
        >
          <ShapeIcon shape="stop" />
          Stop the run
        </button>
      </div>
    </Modal>
  );
}
