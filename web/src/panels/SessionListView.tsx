import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { Connection } from "../runtime/connection";
import type { SessionRow, Sessions } from "../runtime/sessions";
import { FILTERS, type Filter, groupRuns, matches, passes, sharedNames } from "../store/runs";
import { lookOf } from "../store/states";
import { useKeys, useStore } from "../ui/hooks";
import { LineIcon } from "../ui/icons";
import { TopBar } from "./chrome";
import { DeleteDialog } from "./DeleteDialog";
import { LinkBanner } from "./LinkBanner";
import { LinkLight } from "./LinkLight";
import { SessionGroup } from "./SessionRows";

/** Rows shown before someone asks for more, and how many more then. */
const FIRST = 100;
const MORE = 300;

/** Every session the monitor knows, with what each is doing now, or how it ended. */
export function SessionListView(props: { connection: Connection; sessions: Sessions }) {
  const { rows, link, known } = useStore(props.sessions.list);
  const [query, setQuery] = useState("");
  const [filter, setFilter] = useState<Filter>("all");
  const shown = useMemo(
    () => rows.filter(({ summary }) => passes(summary, filter) && matches(summary, query)),
    [rows, filter, query],
  );
  const live = rows.filter((row) => !lookOf(row.summary.state).ended).length;

  useEffect(() => {
    document.title = live > 0 ? `${live} live · trainmon` : "trainmon";
  }, [live]);

  return (
    <>
      <TopBar>
        <LinkLight link={link} />
      </TopBar>
      <LinkBanner link={link} onRetry={() => props.connection.retryNow()} />
      <main className="sessions">
        <div className="sessions-head">
          <h1>
            Sessions <span className="count">{live} live</span>
            <span className="count">{rows.length} in all</span>
          </h1>
          {rows.length > 0 && (
            <>
              <FilterButtons filter={filter} onChoose={setFilter} />
              <Search query={query} onChange={setQuery} />
            </>
          )}
        </div>
        {rows.length > 0 ? (
          <Groups rows={shown} connection={props.connection} />
        ) : (
          <Empty known={known} />
        )}
        {rows.length > 0 && shown.length === 0 && (
          <p className="nothing">No session here matches{query === "" ? "" : ` “${query}”`}.</p>
        )}
      </main>
    </>
  );
}

function Search({ query, onChange }: { query: string; onChange: (query: string) => void }) {
  const search = useRef<HTMLInputElement>(null);
  useKeys((key, event) => {
    if (key !== "/") return;
    event.preventDefault();
    search.current?.focus();
  });
  return (
    <label className="search">
      <LineIcon name="search" />
      <input
        ref={search}
        type="search"
        placeholder="Name, framework or state"
        aria-label="Search sessions"
        value={query}
        onChange={(event) => onChange(event.target.value)}
      />
      <kbd>/</kbd>
    </label>
  );
}

const FILTER_WORDS: Record<Filter, string> = {
  all: "All",
  live: "Live",
  completed: "Completed",
  stopped: "Stopped",
  failed: "Failed",
};

function FilterButtons(props: { filter: Filter; onChoose: (filter: Filter) => void }) {
  return (
    <fieldset className="segments" aria-label="Which sessions">
      {FILTERS.map((filter) => (
        <button
          key={filter}
          type="button"
          aria-pressed={filter === props.filter}
          data-testid={`filter-${filter}`}
          onClick={() => props.onChoose(filter)}
        >
          {FILTER_WORDS[filter]}
        </button>
      ))}
    </fieldset>
  );
}

/** The sessions by day, and what is done with those that are selected. */
function Groups({ rows, connection }: { rows: SessionRow[]; connection: Connection }) {
  const [most, setMost] = useState(FIRST);
  const [selected, setSelected] = useState<Set<string>>(new Set());
  const groups = useMemo(() => groupRuns(rows.slice(0, most), Date.now()), [rows, most]);
  const shared = useMemo(() => sharedNames(rows.map(({ summary }) => summary)), [rows]);
  const onSelect = useCallback((sessionId: string, wanted: boolean) => {
    setSelected((before) => {
      const next = new Set(before);
      if (wanted) next.add(sessionId);
      else next.delete(sessionId);
      return next;
    });
  }, []);
  const ended = rows.filter(({ summary }) => lookOf(summary.state).ended);
  // What is not in sight is not deleted with what is.
  const chosen = ended.filter(({ summary }) => selected.has(summary.sessionId));
  return (
    <>
      {groups.map((group) => (
        <SessionGroup
          key={group.title}
          group={group}
          shared={shared}
          selectable={ended.length > 0}
          selected={selected}
          onSelect={onSelect}
        />
      ))}
      {rows.length > most && (
        <button type="button" className="button" onClick={() => setMost(most + MORE)}>
          Show {Math.min(MORE, rows.length - most)} earlier
        </button>
      )}
      {chosen.length > 0 && (
        <SelectionBar
          connection={connection}
          chosen={chosen}
          others={ended.length - chosen.length}
          onAll={() => setSelected(new Set(ended.map(({ summary }) => summary.sessionId)))}
          onNone={() => setSelected(new Set())}
        />
      )}
    </>
  );
}

function SelectionBar(props: {
  connection: Connection;
  chosen: SessionRow[];
  /** Ended sessions in the list that are not selected. */
  others: number;
  onAll: () => void;
  onNone: () => void;
}) {
  const [asking, setAsking] = useState(false);
  const { chosen } = props;
  return (
    <section className="selection-bar" aria-label="Selected sessions">
      <strong role="status">{chosen.length} selected</strong>
      {props.others > 0 && (
        <button type="button" className="button" onClick={props.onAll}>
          All {chosen.length + props.others} ended
        </button>
      )}
      <button type="button" className="button" onClick={props.onNone}>
        None
      </button>
      <span className="spacer" />
      <button
        type="button"
        className="button"
        data-tone="bad"
        data-testid="delete-selected"
        onClick={() => setAsking(true)}
      >
        <LineIcon name="trash" />
        Delete…
      </button>
      {asking && (
        <DeleteDialog
          connection={props.connection}
          runs={chosen.map(({ summary }) => summary)}
          onClose={() => setAsking(false)}
          onDeleted={() => {
            setAsking(false);
            props.onNone();
          }}
        />
      )}
    </section>
  );
}

/** No session at all: say how to begin. */
function Empty({ known }: { known: boolean }) {
  if (!known) return <p className="nothing">Asking the monitor…</p>;
  return (
    <div className="empty">
      <h2>Nothing has trained here yet</h2>
      <p>See a real run, now:</p>
      <pre>trainmon demo</pre>
      <p>Or add two calls to your own loop:</p>
      <pre>{`with trainmon.start_session("my-run") as session:
    session.batch_end(
        images=images,
        outputs=logits,
        targets=targets,
        loss=loss,
    )`}</pre>
      <p>The session appears here by itself.</p>
    </div>
  );
}
