import { ErrorCode } from "../gen/trainmon/v1/telemetry_pb";
import { formatAgo, formatClock } from "../store/format";
import { Earlier, useNewest } from "../ui/Earlier";
import { useView } from "../ui/hooks";
import { Nothing, Pair, Panel, StateChip } from "../ui/parts";

/** Notes shown before someone asks for those before them. */
const NOTES_SHOWN = 12;

/** The settings of the run, as they were registered. */
export function Hyperparameters() {
  const { registration } = useView();
  const pairs = Object.entries(registration?.hyperparameters ?? {}).sort(([a], [b]) =>
    a.localeCompare(b),
  );
  return (
    <Panel title="Hyper-parameters">
      {pairs.length === 0 && <Nothing>None were registered.</Nothing>}
      <dl className="pairs">
        {pairs.map(([name, value]) => (
          <Pair key={name} name={name} value={value} />
        ))}
      </dl>
    </Panel>
  );
}

/** The processes of the run. */
export function Ranks() {
  const { summary } = useView();
  const ranks = summary?.ranks ?? [];
  return (
    <Panel title={ranks.length > 1 ? "Ranks" : "Process"}>
      <ul className="ranks">
        {ranks.map((rank) => (
          <li key={rank.producerId || rank.rank}>
            <b>{rank.rank}</b>
            <StateChip state={rank.state} />
            <span>
              {rank.hostname} <small>pid {rank.pid}</small>
            </span>
            <small>{formatAgo(rank.lastSeenMs, summary?.timestampMs ?? rank.lastSeenMs)}</small>
          </li>
        ))}
      </ul>
      {summary && summary.worldSize > ranks.length && (
        <p className="nothing">
          {summary.worldSize - ranks.length} of {summary.worldSize} ranks have not joined.
        </p>
      )}
      {ranks.length === 0 && <Nothing>No process has joined yet.</Nothing>}
    </Panel>
  );
}

/** What was chosen or could not be known, in sentences. */
export function Notes() {
  const { notes } = useView();
  const { shown, ...rest } = useNewest(notes, NOTES_SHOWN);
  if (notes.length === 0) return null;
  return (
    <Panel title="Notes">
      <Earlier {...rest} />
      <ul className="notes">
        {shown.map((note) => (
          <li key={note}>{note}</li>
        ))}
      </ul>
    </Panel>
  );
}

/** What went wrong between training and monitor, newest first. */
export function Errors() {
  const { errors } = useView();
  if (errors.length === 0) return null;
  return (
    <Panel title="Errors">
      <ul className="notes">
        {[...errors].reverse().map((error) => (
          <li key={`${error.timestampMs}/${error.code}/${error.message}`}>
            <small>{formatClock(error.timestampMs)}</small>{" "}
            <b>
              {(ErrorCode[error.code] ?? `code ${error.code}`).toLowerCase().replace(/_/g, " ")}
            </b>{" "}
            {error.message}
          </li>
        ))}
      </ul>
    </Panel>
  );
}
