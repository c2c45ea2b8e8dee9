import type { CommandRecord, ControlSpec } from "../rpc/plain";
import {
  actionWords,
  changeWords,
  effectWords,
  type PendingCommand,
  stageOf,
} from "../store/commands";
import { formatClock } from "../store/format";
import { Earlier, useNewest } from "../ui/Earlier";
import { useRun, useStore, useView } from "../ui/hooks";
import { Nothing, Panel } from "../ui/parts";

/** Commands shown before someone asks for those before them. */
const SHOWN = 40;

/** Every command of the session with all that happened to it, newest first. */
export function CommandLog() {
  const run = useRun();
  const { commands, registration } = useView();
  const pending = useStore(run.commander.pending);
  const controls = registration?.controls ?? [];
  const { shown, ...rest } = useNewest(commands, SHOWN);
  return (
    <Panel title="Commands" className="log-panel">
      <ol className="log" aria-label="Record of commands">
        {[...pending].reverse().map((entry) => (
          <Pending key={entry.id} entry={entry} controls={controls} />
        ))}
        {[...shown].reverse().map((record) => (
          <Recorded key={record.command?.commandId} record={record} controls={controls} />
        ))}
      </ol>
      <Earlier {...rest} />
      {commands.length + pending.length === 0 && <Nothing>Nobody has asked for anything.</Nothing>}
    </Panel>
  );
}

/** On its way, but on no record yet. */
function Pending({ entry, controls }: { entry: PendingCommand; controls: ControlSpec[] }) {
  const run = useRun();
  const refused = entry.state === "refused";
  return (
    <li
      className="log-row"
      data-testid="command-record"
      data-state={entry.state}
      data-command-id={entry.id}
      data-tone={refused ? "bad" : "wait"}
    >
      <div className="log-head">
        <time>{formatClock(entry.sinceMs)}</time>
        <strong>{actionWords(entry.action, controls)}</strong>
        <span className="stage">{entry.state === "retrying" ? "sending again" : entry.state}</span>
      </div>
      {entry.message !== "" && <p className="log-message">{entry.message}</p>}
      {refused && (
        <button
          type="button"
          className="button small"
          onClick={() => run.commander.dismiss(entry.id)}
        >
          Dismiss
        </button>
      )}
    </li>
  );
}

function Recorded({ record, controls }: { record: CommandRecord; controls: ControlSpec[] }) {
  const stage = stageOf(record.state);
  const step = record.result?.appliedAtStep;
  const change = changeWords(record, controls);
  const effect = effectWords(record);
  const message = record.result?.message || record.transitions.at(-1)?.message || "";
  return (
    <li
      className="log-row"
      data-testid="command-record"
      data-state={stage.name}
      data-command-id={record.command?.commandId}
      data-tone={stage.tone}
    >
      <div className="log-head">
        <time>{formatClock(record.transitions[0]?.timestampMs ?? record.timestampMs)}</time>
        <strong>{actionWords(record.command?.action ?? { case: undefined }, controls)}</strong>
        <span className="stage">
          {stage.word}
          {step !== undefined && ` at step ${step}`}
        </span>
      </div>
      <Life record={record} />
      <p className="log-detail">
        {change && <span className="log-change">{change}</span>}
        <small>{record.command?.issuedBy || "unknown"}</small>
      </p>
      {effect && <p className="log-message">{effect}</p>}
      {!stage.final && stage.name === "unconfirmed" && (
        <p className="log-message">
          Sent, and not answered: whether it was applied is not known yet.
        </p>
      )}
      {message !== "" && <p className="log-message">{message}</p>}
    </li>
  );
}

/** The states a command went through, with when. */
function Life({ record }: { record: CommandRecord }) {
  const start = record.transitions[0]?.timestampMs ?? 0;
  return (
    <ol className="life" aria-label="What happened to it">
      {record.transitions.map((transition) => {
        const stage = stageOf(transition.state);
        const after = transition.timestampMs - start;
        return (
          <li
            key={`${transition.state}/${transition.timestampMs}`}
            data-tone={stage.tone}
            title={`${formatClock(transition.timestampMs)} ${transition.message}`}
          >
            {stage.word}
            {after > 0 && (
              <small> +{after < 1000 ? `${after} ms` : `${(after / 1000).toFixed(1)} s`}</small>
            )}
          </li>
        );
      })}
    </ol>
  );
}
