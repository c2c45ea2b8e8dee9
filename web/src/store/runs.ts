/** The list of runs: which are shown, in which groups, and how those of one name are told apart. */
import type { SessionSummary } from "../rpc/plain";
import { dayWords } from "./format";
import { lookOf } from "./states";

/** Which runs are shown, by how they are or ended. */
export const FILTERS = ["all", "live", "completed", "stopped", "failed"] as const;
export type Filter = (typeof FILTERS)[number];

/** Whether a run belongs to a filter; one that died has failed, too. */
export function passes(summary: SessionSummary, filter: Filter): boolean {
  const look = lookOf(summary.state);
  if (filter === "all") return true;
  if (filter === "live") return !look.ended;
  if (filter === "failed") return look.name === "failed" || look.name === "died";
  return look.name === filter;
}

/** Whether every word of a query is in a run's name, framework, state or id. */
export function matches(summary: SessionSummary, query: string): boolean {
  const { sessionName, framework, state, sessionId } = summary;
  const text = `${sessionName} ${framework} ${lookOf(state).word} ${sessionId}`.toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((part) => text.includes(part));
}

export interface Group<T> {
  title: string;
  rows: T[];
}

/** Live runs, then the others by the day on which they began; rows keep their order. */
export function groupRuns<T extends { summary: SessionSummary }>(
  rows: T[],
  nowMs: number,
): Group<T>[] {
  const groups: Group<T>[] = [];
  for (const row of rows) {
    const { state, startedMs } = row.summary;
    const title = lookOf(state).ended ? dayWords(startedMs, nowMs) : "Live";
    const last = groups[groups.length - 1];
    if (last?.title === title) last.rows.push(row);
    else groups.push({ title, rows: [row] });
  }
  return groups;
}

/** The names that more than one run has. */
export function sharedNames(summaries: SessionSummary[]): Set<string> {
  const seen = new Set<string>();
  const shared = new Set<string>();
  for (const { sessionName } of summaries) {
    if (seen.has(sessionName)) shared.add(sessionName);
    seen.add(sessionName);
  }
  return shared;
}

/** Enough of an id to tell runs of one name apart. */
export function shortId(sessionId: string): string {
  return `#${sessionId.slice(0, 6)}`;
}
