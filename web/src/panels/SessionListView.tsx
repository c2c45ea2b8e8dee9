import { memo, useEffect, useMemo, useRef, useState } from "react";
import type { Connection } from "../runtime/connection";
import type { SessionRow, Sessions } from "../runtime/sessions";
import { formatAgo, formatCount, formatRate, formatSpan, formatValue } from "../store/format";
import { lookOf } from "../store/states";
import { useKeys, useStore } from "../ui/hooks";
import { LineIcon } from "../ui/icons";
import { Bar, StateChip } from "../ui/parts";
import { followLink, hrefOf } from "../ui/route";
import { Brand, ThemeButton } from "./chrome";
import { LinkBanner } from "./LinkBanner";
import { LinkLight } from "./LinkLight";
import { Sparkline } from "./Sparkline";

/** Every session the monitor knows, with what each is doing now. */
export function SessionListView(props: { connection: Connection; sessions: Sessions }) {
  const { rows, link, known } = useStore(props.sessions.list);
  const [query, setQuery] = useState("");
  const search = useRef<HTMLInputElement>(null);
  const shown = useMemo(() => rows.filter((row) => matches(row, query)), [rows, query]);
  const live = rows.filter((row) => !lookOf(row.summary.state).ended).length;

  useEffect(() => {
    document.title = live > 0 ? `${live} live · trainmon` : "trainmon";
  }, [live]);
  useKeys((key, event) => {
    if (key !== "/") return;
    event.preventDefault();
    search.current?.focus();
  });

  return (
    <>
      <header className="topbar">
        <Brand />
        <LinkLight link={link} />
        <span className="spacer" />
        <ThemeButton />
      </header>
      <LinkBanner link={link} onRetry={() => props.connection.retryNow()} />
      <main className="sessions">
        <div className="sessions-head">
          <h1>
            Sessions <span className="count">{live} live</span>
            <span className="count">{rows.length} in all</span>
          </h1>
          <label className="search">
            <LineIcon name="search" />
            <input
              ref={search}
              type="search"
              placeholder="Name, framework or state"
              aria-label="Search sessions"
              value={query}
              onChange={(event) => setQuery(event.target.value)}
            />
            <kbd>/</kbd>
          </label>
        </div>
        {rows.length > 0 ? <Table rows={shown} /> : <Empty known={known} />}
        {rows.length > 0 && shown.length === 0 && (
          <p className="nothing">No session matches “{query}”.</p>
        )}
      </main>
    </>
  );
}

function matches({ summary }: SessionRow, query: string): boolean {
  const words = `${summary.sessionName} ${summary.framework} ${lookOf(summary.state).word} ${summary.sessionId}`;
  const text = words.toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((part) => text.includes(part));
}

function Table({ rows }: { rows: SessionRow[] }) {
  return (
    <ul className="session-rows" aria-label="Sessions">
      {rows.map((row) => (
        <Row key={row.summary.sessionId} row={row} />
      ))}
    </ul>
  );
}

const Row = memo(function Row({ row }: { row: SessionRow }) {
  const { summary, losses } = row;
  const look = lookOf(summary.state);
  const name = summary.sessionName || summary.sessionId;
  return (
    <li
      className="session-row"
      data-testid="session-row"
      data-session-id={summary.sessionId}
      data-tone={look.tone}
    >
      <a href={hrefOf(summary.sessionId)} onClick={followLink} aria-label={`${name}, ${look.word}`}>
        <StateChip state={summary.state} />
        <span className="session-name">
          <strong>{name}</strong>
          <small>{[summary.framework, ranks(summary.worldSize)].filter(Boolean).join(" · ")}</small>
        </span>
        <Sparkline values={losses} tone={look.tone} />
        <Figure label="loss" value={formatValue(summary.loss)} />
        <Figure label="step" value={formatCount(summary.globalStep)} />
        <Figure label="batches/s" value={look.ended ? "–" : formatRate(summary.currentFps)} />
        <span className="session-progress">
          <Bar label={`Progress of ${name}`} share={shareOf(row)} tone={look.tone} />
          <small>{epochWords(row)}</small>
        </span>
        <small className="session-when">{whenWords(row)}</small>
      </a>
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

function ranks(worldSize: number): string {
  return worldSize > 1 ? `${worldSize} ranks` : "";
}

function shareOf({ summary }: SessionRow): number | undefined {
  if (!summary.totalEpochs) return undefined;
  const within = summary.batchesPerEpoch ? (summary.batchIndex + 1) / summary.batchesPerEpoch : 0;
  return Math.min(1, (summary.epoch + within) / summary.totalEpochs);
}

function epochWords({ summary }: SessionRow): string {
  if (summary.globalStep === undefined) return "no batch yet";
  const total = summary.totalEpochs ? ` of ${summary.totalEpochs}` : "";
  return `epoch ${summary.epoch + 1}${total}`;
}

function whenWords({ summary }: SessionRow): string {
  if (summary.endedMs !== undefined) {
    return `${formatSpan(summary.endedMs - summary.startedMs)} · ended ${formatAgo(summary.endedMs, summary.timestampMs)}`;
  }
  return `for ${formatSpan(summary.timestampMs - summary.startedMs)}`;
}

/** No session at all: say how to begin. */
function Empty({ known }: { known: boolean }) {
  if (!known) return <p className="nothing">Asking the monitor…</p>;
  return (
    <div className="empty">
      <h2>Nothing has trained here yet</h2>
      <p>See a real run, now:</p>
      <pre>trainmon demo</pre>
      <p>Or add two lines to your own loop:</p>
      <pre>{`with trainmon.start_session("my-run") as session:
    session.batch_end(images=images, outputs=logits, targets=targets, loss=loss)`}</pre>
      <p>The session appears here by itself.</p>
    </div>
  );
}
