import { describe, expect, it } from "vitest";
import { SessionState } from "../gen/trainmon/v1/dashboard_pb";
import { FILTERS, groupRuns, matches, passes, sharedNames, shortId } from "./runs";
import { summaryOf } from "./testing";

const at = (text: string) => new Date(`2026-03-12T${text}`).getTime();
const run = (name: string, state: SessionState, started = at("10:00:00")) =>
  summaryOf({ sessionId: `${name}-id`, sessionName: name, state, startedMs: BigInt(started) });

describe("the list of runs", () => {
  it("has a filter for every way to end, and one that died has failed", () => {
    const count = (filter: (typeof FILTERS)[number]) =>
      [
        SessionState.RUNNING,
        SessionState.PAUSED,
        SessionState.COMPLETED,
        SessionState.STOPPED,
        SessionState.FAILED,
        SessionState.DIED,
      ].filter((state) => passes(run("a", state), filter)).length;
    expect(FILTERS.map(count)).toEqual([6, 2, 1, 1, 2]);
  });

  it("finds a run by words of its name, framework, state or id, in any order", () => {
    const one = run("mnist deep", SessionState.COMPLETED);
    for (const query of ["", "deep mnist", "COMPL", "mnist deep-id"]) {
      expect(matches(one, query)).toBe(true);
    }
    expect(matches(one, "mnist running")).toBe(false);
  });

  it("puts live runs first and the others under the day they began", () => {
    const day = 86_400_000;
    const now = at("12:00:00");
    const rows = [
      run("a", SessionState.RUNNING, now - 5 * day),
      run("b", SessionState.COMPLETED, now - 60_000),
      run("c", SessionState.STOPPED, now - day),
      run("d", SessionState.DIED, now - day - 1_000),
      run("e", SessionState.COMPLETED, now - 400 * day),
    ].map((summary) => ({ summary }));
    const groups = groupRuns(rows, now);
    expect(groups.map(({ title }) => title).slice(0, 3)).toEqual(["Live", "Today", "Yesterday"]);
    expect(groups.map(({ rows: own }) => own.length)).toEqual([1, 1, 2, 1]);
    expect(groups[3]?.title).toContain("2025");
  });

  it("names what tells runs of one name apart", () => {
    const all = ["a", "b", "a"].map((name) => run(name, SessionState.RUNNING));
    expect([...sharedNames(all)]).toEqual(["a"]);
    expect(shortId("0123456789")).toBe("#012345");
  });
});
