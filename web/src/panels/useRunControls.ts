import { CommandState } from "../gen/trainmon/v1/control_pb";
import { SessionState } from "../gen/trainmon/v1/dashboard_pb";
import { type Action, outstanding } from "../store/commands";
import { lookOf } from "../store/states";
import { useRun, useStore, useView } from "../ui/hooks";

export interface RunControls {
  paused: boolean;
  /** A pause or resume is on its way. */
  pauseWaiting: boolean;
  canPause: boolean;
  canStop: boolean;
  stopWaiting: boolean;
  /** Why pausing or stopping cannot be used now; empty when it can. */
  pauseReason: string;
  stopReason: string;
  togglePause(): void;
  stop(): void;
}

/** Pause, resume and stop, with whether and why not they can be used. */
export function useRunControls(): RunControls {
  const run = useRun();
  const { summary, commands, registration } = useView();
  const pending = useStore(run.commander.pending);
  // An unconfirmed command may never have arrived: it does not keep anyone from asking again.
  const onItsWay = (kinds: Action["case"][]) =>
    kinds.some((kind) => {
      const record = outstanding(commands, kind);
      return record !== undefined && record.state !== CommandState.UNCONFIRMED;
    }) || pending.some((entry) => entry.state !== "refused" && kinds.includes(entry.action.case));
  const paused = summary?.state === SessionState.PAUSED;
  const pauseWaiting = onItsWay(["pause", "resume"]);
  const ended = summary === undefined || lookOf(summary.state).ended;
  const reasonOf = (name: string) => {
    if (summary === undefined) return "The session is not known yet";
    if (ended) return "The run has ended";
    return registration?.controls.find((spec) => spec.name === name)?.unavailableReason ?? "";
  };
  const pauseReason = reasonOf(paused ? "resume" : "pause");
  const stopReason = reasonOf("stop");
  const canPause = pauseReason === "" && !pauseWaiting;
  return {
    paused,
    pauseWaiting,
    canPause,
    canStop: stopReason === "",
    stopWaiting: onItsWay(["stop"]) || summary?.state === SessionState.STOPPING,
    pauseReason,
    stopReason,
    togglePause: () => {
      if (!canPause) return;
      void run.commander.send(
        paused ? { case: "resume", value: {} } : { case: "pause", value: {} },
      );
    },
    stop: () => void run.commander.send({ case: "stop", value: {} }),
  };
}
