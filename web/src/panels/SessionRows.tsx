import { memo } from "react";
import type { SessionSummary } from "../rpc/plain";
import type { SessionRow } from "../runtime/sessions";
import {
  dayWords,
  formatClock,
  formatCount,
  formatMinute,
  formatRate,
  formatSpan,
  formatValue,
} from "../store/format";
import { type Group, shortId } from "../store/runs";
import { lookOf } from "../store/states";
import { Bar, StateChip } from "../ui/parts";
import { followLink, hrefOf } from "../ui/route";
import { Sparkline } from "./Sparkline";

/** The rows of one day, or the live ones. */
export function SessionGroup(props: {
  group: Group<SessionRow>;
  /** Names that several runs have. */
  shared: Set<string>;
  /** Whether there is a session in the list that can be selected: room is kept for the boxes. */
  selectable: boolean;
  selected: Set<string>;
  onSelect: (sessionId: string, selected: boolean) => void;
}) {
  const { group, shared, selected, onSelect } = props;
  return (
    <section className="session-group" aria-label={group.title} data-selectable={props.selectable}>
      <h2>
        {group.title} <span className="count">{group.rows.length}</span>
      </h2>
      <ul className="session-rows">
        {group.rows.map((row) => (
          <Row
            key={row.summary.sessionId}
            row={row}
            named={shared.has(row.summary.sessionName)}
            selected={selected.has(row.summary.sessionId)}
            onSelect={onSelect}
          />
        ))}
      </ul>
    </section>
  );
}

const Row = memo(function Row(props: {
  row: SessionRow;
  /** Whether its id is shown, as its name does not tell. */
  named: boolean;
  selected: boolean;
  onSelect: (sessionId: string, selected: boolean) => void;
}) {
  const { summary, losses } = props.row;
  const { sessionId } = summary;
  const look = lookOf(summary.state);
  const name = summary.sessionName || sessionId;
  return (
    <li
      className="session-row"
      data-testid="session-row"
      data-session-id={sessionId}
      data-tone={look.tone}
    >
      <div className="session-line">
        <span className="session-select">
          {look.ended && (
            <input
              type="checkbox"
              aria-label={`Select ${name}, ${startWords(summary)}`}
              data-testid="session-select"
              checked={props.selected}
              onChange={(event) => props.onSelect(sessionId, event.target.checked)}
            />
          )}
        </span>
        <a
          href={hrefOf(sessionId)}
          onClick={followLink}
          aria-label={`${name}, ${look.word}, ${startWords(summary)}`}
        >
          <StateChip state={summary.state} />
          <span className="session-name">
            <strong>{name}</strong>
            <small>{detailWords(summary, props.named)}</small>
          </span>
          <Sparkline values={losses} tone={look.tone} />
          <Figure label={look.ended ? "final loss" : "loss"} value={formatValue(summary.loss)} />
          <Figure label="step" value={formatCount(summary.globalStep)} />
          <Figure
            label={look.ended ? "batches/s, mean" : "batches/s"}
            value={formatRate(look.ended ? summary.averageFps || undefined : summary.currentFps)}
          />
          <span className="session-progress">
            <Bar label={`Progress of ${name}`} share={shareOf(summary)} tone={look.tone} />
            <small>{epochWords(summary)}</small>
          </span>
          <small className="session-when" title={`Began ${formatClock(summary.startedMs)}`}>
            {whenWords(summary)}
          </small>
        </a>
      </div>
      {summary.statusMessage !== "" && look.tone === "bad" && (
        <p className="session-message">{summary.statusMessage}</p>
      )}
    </li>
  );
});

function Figure({ label, value }: { label: string; value: string }) {
  return (
    <span className="figure">
      <b>{value}</b>
      <small>{label}</small>
    </span>
  );
}

/** When it began; the day is the group's, but for live ones. */
function startWords({ startedMs, state, timestampMs }: SessionSummary): string {
  const day = dayWords(startedMs, timestampMs);
  const clock = formatMinute(startedMs);
  return lookOf(state).ended || day === "Today" ? clock : `${day}, ${clock}`;
}

function detailWords(summary: SessionSummary, named: boolean): string {
  const { worldSize, framework, sessionId } = summary;
  const ranks = worldSize > 1 ? `${worldSize} ranks` : "";
  const id = named ? shortId(sessionId) : "";
  return [startWords(summary), framework, ranks, id].filter(Boolean).join(" · ");
}

function shareOf(summary: SessionSummary): number | undefined {
  if (!summary.totalEpochs) return undefined;
  const within = summary.batchesPerEpoch ? (summary.batchIndex + 1) / summary.batchesPerEpoch : 0;
  return Math.min(1, (summary.epoch + within) / summary.totalEpochs);
}

function epochWords(summary: SessionSummary): string {
  if (summary.globalStep === undefined) return "no batch yet";
  const total = summary.totalEpochs ? ` of ${summary.totalEpochs}` : "";
  return `epoch ${summary.epoch + 1}${total}`;
}

function whenWords({ endedMs, startedMs, timestampMs }: SessionSummary): string {
  if (endedMs !== undefined) return `took ${formatSpan(endedMs - startedMs)}`;
  return `for ${formatSpan(timestampMs - startedMs)}`;
}
