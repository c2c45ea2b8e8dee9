import { SessionState } from "../gen/trainmon/v1/dashboard_pb";
import { ConvergenceStatus } from "../gen/trainmon/v1/telemetry_pb";

/** Colour family of a state; each is a pair of custom properties in the theme. */
export type Tone = "start" | "live" | "eval" | "wait" | "done" | "warn" | "bad" | "quiet";

/** Shape of a state, so that colour is never the only difference. */
export type Shape =
  | "dots"
  | "play"
  | "pause"
  | "scope"
  | "stopping"
  | "check"
  | "stop"
  | "cross"
  | "hourglass"
  | "unlink"
  | "skull"
  | "unknown";

export interface StateLook {
  /** Stable machine name, as in `data-state`. */
  name: string;
  /** The word a person reads. */
  word: string;
  tone: Tone;
  shape: Shape;
  /** One sentence for a tooltip. */
  meaning: string;
  /** Whether the run is over. */
  ended: boolean;
}

const LOOKS: Record<SessionState, StateLook> = {
  [SessionState.UNSPECIFIED]: look(
    "unknown",
    "Unknown",
    "quiet",
    "unknown",
    "Nothing is known yet.",
  ),
  [SessionState.STARTING]: look(
    "starting",
    "Starting",
    "start",
    "dots",
    "Registered; no batch has ended yet.",
  ),
  [SessionState.RUNNING]: look("running", "Running", "live", "play", "Training."),
  [SessionState.PAUSED]: look("paused", "Paused", "wait", "pause", "Waiting at a control point."),
  [SessionState.EVALUATING]: look(
    "evaluating",
    "Evaluating",
    "eval",
    "scope",
    "In a validation or test loop.",
  ),
  [SessionState.STOPPING]: look(
    "stopping",
    "Stopping",
    "wait",
    "stopping",
    "Told to stop; finishing.",
  ),
  [SessionState.COMPLETED]: look(
    "completed",
    "Completed",
    "done",
    "check",
    "Ended by itself.",
    true,
  ),
  [SessionState.STOPPED]: look("stopped", "Stopped", "quiet", "stop", "Ended on request.", true),
  [SessionState.FAILED]: look("failed", "Failed", "bad", "cross", "Ended by an error.", true),
  [SessionState.STALLED]: look(
    "stalled",
    "Stalled",
    "warn",
    "hourglass",
    "The process is alive, but no step has ended for unusually long.",
  ),
  [SessionState.LINK_LOST]: look(
    "link-lost",
    "Link lost",
    "warn",
    "unlink",
    "The monitor no longer hears the training; whether it still trains is not known.",
  ),
  [SessionState.DIED]: look(
    "died",
    "Died",
    "bad",
    "skull",
    "The training process is gone without having said goodbye.",
    true,
  ),
};

function look(
  name: string,
  word: string,
  tone: Tone,
  shape: Shape,
  meaning: string,
  ended = false,
): StateLook {
  return { name, word, tone, shape, meaning, ended };
}

/** How a session state looks; a state from a newer monitor counts as unknown. */
export function lookOf(state: SessionState | undefined): StateLook {
  const unknown = LOOKS[SessionState.UNSPECIFIED];
  return state === undefined ? unknown : (LOOKS[state] ?? unknown);
}

const CONVERGENCE: Record<ConvergenceStatus, { word: string; tone: Tone }> = {
  [ConvergenceStatus.UNSPECIFIED]: { word: "–", tone: "quiet" },
  [ConvergenceStatus.IMPROVING]: { word: "improving", tone: "live" },
  [ConvergenceStatus.PLATEAU]: { word: "plateau", tone: "wait" },
  [ConvergenceStatus.CONVERGED]: { word: "converged", tone: "done" },
  [ConvergenceStatus.DIVERGING]: { word: "diverging", tone: "bad" },
};

/** Word and tone of a convergence status. */
export function convergenceOf(status: ConvergenceStatus): { word: string; tone: Tone } {
  return CONVERGENCE[status] ?? CONVERGENCE[ConvergenceStatus.UNSPECIFIED];
}
