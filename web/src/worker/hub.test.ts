import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SessionState } from "../gen/trainmon/v1/dashboard_pb";
import { Hub } from "./hub";
import { FakeGateway, FakeTab } from "./testing";

let gateway: FakeGateway;
let hub: Hub;
let tabs: FakeTab[];

beforeEach(() => {
  vi.useFakeTimers();
  gateway = new FakeGateway();
  hub = new Hub(gateway.client());
  tabs = [];
});

afterEach(async () => {
  for (const tab of tabs) tab.say({ type: "bye" });
  await settle();
  vi.useRealTimers();
});

/** Let every message that is due arrive. */
const settle = (ms = 0) => vi.advanceTimersByTimeAsync(ms);

function openTab(sessionId?: string, framesPerSecond = 60, visible = true): FakeTab {
  const tab = new FakeTab();
  tabs.push(tab);
  hub.attach(tab);
  if (sessionId !== undefined) tab.want(sessionId, framesPerSecond, visible);
  return tab;
}

const picture = (step: number) => ({
  cursor: `c${step}`,
  event: { case: "batchData", value: { globalStep: BigInt(step) } } as const,
});

const snapshot = (cursor = "c0") => ({
  cursor,
  event: {
    case: "snapshot",
    value: { summary: { sessionId: "a", state: SessionState.RUNNING } },
  } as const,
});

const lastChannel = () => gateway.opened.at(-1)?.channel;

describe("Hub", () => {
  it("holds one stream for all tabs of a session, at the greatest demand of them", async () => {
    openTab("a", 10);
    openTab("a", 30);
    openTab("a", 5);
    await settle();
    expect(gateway.opened.at(-1)?.request.framesPerSecond).toBe(30);
    expect(gateway.opened.filter((one) => !one.channel.closed)).toHaveLength(1);
  });

  it("lowers the demand only after two seconds, and raises it at once", async () => {
    const tab = openTab("a", 60);
    await settle();
    tab.want("a", -1, false);
    await settle(1_900);
    expect(gateway.opened).toHaveLength(1);
    await settle(200);
    expect(gateway.opened.at(-1)?.request.framesPerSecond).toBe(-1);
    tab.want("a", 60);
    await settle();
    expect(gateway.opened.at(-1)?.request.framesPerSecond).toBe(60);
  });

  it("resumes from its cursor when the demand changes", async () => {
    const tab = openTab("a", 10);
    await settle();
    lastChannel()?.push(picture(4));
    await settle();
    tab.want("a", 60);
    await settle();
    expect(gateway.opened.at(-1)?.request.resumeCursor).toBe("c4");
  });

  it("never has more than one picture in flight to a tab, and keeps only the newest", async () => {
    const tab = openTab("a");
    await settle();
    for (let step = 1; step <= 50; step++) lastChannel()?.push(picture(step));
    await settle();
    expect(tab.of("picture").map((one) => one.picture.globalStep)).toEqual([1]);
    tab.say({ type: "ack" });
    await settle();
    expect(tab.of("picture").map((one) => one.picture.globalStep)).toEqual([1, 50]);
    expect(tab.of("picture")[1]?.received).toBe(50);
  });

  it("never goes back to an older picture, unless the store behind it is another one", async () => {
    const tab = openTab("a");
    const shown = () => tab.of("picture").map((one) => one.picture.globalStep);
    const told = (step: number, second: number, more: { attempt?: number } = {}) => ({
      globalStep: BigInt(step),
      timestampMs: BigInt(second * 1000),
      ...more,
    });
    const push = async (value: ReturnType<typeof told>) => {
      lastChannel()?.push({ cursor: "c", event: { case: "batchData", value } });
      await settle();
      tab.say({ type: "ack" });
    };
    const snap = async (batchData: ReturnType<typeof told>, reset: boolean) => {
      const value = { ...snapshot().event.value, batchData, reset };
      lastChannel()?.push({ cursor: "c", event: { case: "snapshot", value } });
      await settle();
      tab.say({ type: "ack" });
    };
    await settle();
    await push(told(10, 10));
    await push(told(8, 8));
    await snap(told(9, 9), false);
    expect(shown()).toEqual([10]);
    // Steps that begin anew, and a clock that is set back, are no reason to show nothing.
    await push(told(3, 11));
    await push(told(4, 7));
    await push(told(2, 12, { attempt: 1 }));
    await push(told(9, 11));
    expect(shown()).toEqual([10, 3, 4, 2]);
    await snap(told(1, 1), true);
    expect(shown()).toEqual([10, 3, 4, 2, 1]);
  });

  it("gives a tab pictures no faster than it asked for", async () => {
    const slow = openTab("a", 2);
    openTab("a", 60);
    await settle();
    for (let step = 1; step <= 100; step++) {
      lastChannel()?.push(picture(step));
      await settle(20);
      slow.say({ type: "ack" });
    }
    expect(slow.of("picture").length).toBeLessThanOrEqual(6);
    expect(slow.of("picture").length).toBeGreaterThanOrEqual(4);
  });

  /** Push pictures for some seconds; the tab acknowledges every n-th, and each is so late. */
  async function flow(tab: FakeTab, seconds: number, everyNth: number, delayMs: () => number) {
    for (let index = 0; index < seconds * 50; index++) {
      step += 1;
      // They come as they were sent: a link that becomes slow carries none in between.
      sentMs = Math.max(sentMs, Date.now() - delayMs());
      const timestampMs = BigInt(Math.round(sentMs + clockMs));
      lastChannel()?.push({ ...picture(step), timestampMs });
      await settle(20);
      if (index % everyNth === 0) tab.say({ type: "ack" });
    }
  }
  let step = 0;
  let sentMs = 0;
  /** The monitor's clock less ours. */
  let clockMs = 0;
  beforeEach(() => {
    sentMs = 0;
    clockMs = 0;
  });
  const asked = () => gateway.opened.at(-1)?.request;

  it("asks a slow page's stream for less, says so, and for all again when it is not", async () => {
    const tab = openTab("a");
    await flow(tab, 4, 4, () => 0);
    expect(asked()?.framesPerSecond).toBe(30);
    expect(tab.of("eased").at(-1)).toMatchObject({ sessionId: "a", slow: "page" });
    await flow(tab, 12, 1, () => 0);
    expect(asked()?.framesPerSecond).toBe(60);
    expect(tab.of("eased").at(-1)?.slow).toBeUndefined();
  });

  it("asks for fewer and smaller pictures while a slow link holds them back", async () => {
    const tab = openTab("a");
    await flow(tab, 2, 1, () => 5);
    await flow(tab, 10, 1, () => 800);
    expect(asked()?.framesPerSecond).toBe(15);
    expect(asked()?.tileSize).toBe(64);
    expect(tab.of("eased").at(-1)?.slow).toBe("link");
    const late = openTab("a");
    expect(late.of("eased").at(-1)?.slow).toBe("link");
    await flow(tab, 30, 1, () => 5);
    expect(asked()?.framesPerSecond).toBe(60);
    expect(asked()?.tileSize).toBe(128);
  });

  it("says that it is the link at the least rate, too, and opens no other stream for it", async () => {
    const tab = openTab("a");
    await flow(tab, 30, 50, () => 5);
    expect(tab.of("eased").at(-1)?.slow).toBe("page");
    const opened = gateway.opened.length;
    await flow(tab, 5, 50, () => 800);
    expect(tab.of("eased").at(-1)?.slow).toBe("link");
    expect(gateway.opened).toHaveLength(opened);
  });

  it("takes no monitor whose clock is set back for a slow link", async () => {
    const tab = openTab("a");
    await flow(tab, 3, 1, () => 5);
    clockMs = -2_000;
    await flow(tab, 10, 1, () => 5);
    expect(asked()?.framesPerSecond).toBe(60);
    expect(tab.of("eased").map(({ slow }) => slow)).toEqual([undefined]);
  });

  it("takes a frozen tab for no slow one", async () => {
    const tab = openTab("a");
    await flow(tab, 3, 1, () => 0);
    await flow(tab, 6, 10_000, () => 0);
    expect(asked()?.framesPerSecond).toBe(60);
    expect(gateway.opened).toHaveLength(1);
  });

  it("gives a hidden tab its scalars and no picture", async () => {
    const hidden = openTab("a", -1, false);
    openTab("a", 60);
    await settle();
    lastChannel()?.push(picture(1));
    lastChannel()?.push({ event: { case: "metricData", value: {} } });
    await settle(100);
    expect(hidden.of("picture")).toEqual([]);
    expect(hidden.of("events")[0]?.events[0]?.case).toBe("metricData");
  });

  it("tells a tab that comes late all that is known", async () => {
    openTab("a");
    await settle();
    lastChannel()?.push(snapshot());
    lastChannel()?.push(picture(9));
    await settle();
    const late = openTab("a");
    expect(late.of("view")[0]?.view.summary?.state).toBe(SessionState.RUNNING);
    expect(late.of("picture")[0]).toMatchObject({ live: false, received: 1 });
    expect(late.of("link").at(-1)?.link.state).toBe("live");
  });

  it("opens at most three sessions, those on screen first, and parks the rest", async () => {
    const first = openTab("a", 60, false);
    for (const id of ["b", "c", "d"]) openTab(id);
    await settle();
    const open = gateway.opened.filter((one) => !one.channel.closed);
    expect(open.map((one) => one.request.sessionId).sort()).toEqual(["b", "c", "d"]);
    expect(first.of("link").at(-1)?.link.state).toBe("parked");
    await settle(10);
    first.want("a");
    await settle();
    expect(gateway.opened.at(-1)?.request.sessionId).toBe("a");
  });

  it("closes every stream when the last tab has gone", async () => {
    const tab = openTab("a");
    await settle();
    tab.say({ type: "bye" });
    await settle();
    expect(lastChannel()?.closed).toBe(true);
    expect(gateway.list.closed).toBe(true);
  });

  it("says that the link is lost, by whom, and resumes where it was", async () => {
    const tab = openTab("a");
    await settle();
    lastChannel()?.push(snapshot("c7"));
    await settle();
    lastChannel()?.fail(new ConnectError("the monitor is away", Code.Unavailable));
    await settle();
    expect(tab.of("link").at(-1)?.link).toMatchObject({ state: "lost", fault: "monitor" });
    await settle(1_000);
    expect(gateway.opened).toHaveLength(2);
    expect(gateway.opened[1]?.request.resumeCursor).toBe("c7");
    lastChannel()?.push(snapshot("c8"));
    await settle();
    expect(tab.of("link").at(-1)?.link.state).toBe("live");
  });

  it("takes five seconds of silence for a lost link", async () => {
    const tab = openTab("a");
    await settle();
    lastChannel()?.push(snapshot());
    await settle(4_000);
    expect(tab.of("link").at(-1)?.link.state).toBe("live");
    await settle(2_000);
    const lost = tab.of("link").filter((one) => one.link.state === "lost");
    expect(lost[0]?.link.fault).toBe("silence");
  });

  it("tries at once when a person says so", async () => {
    const tab = openTab("a");
    await settle();
    for (let i = 0; i < 4; i++) {
      lastChannel()?.fail(new ConnectError("away", Code.Unavailable));
      await settle();
      tab.say({ type: "retry" });
      await settle();
    }
    expect(gateway.opened).toHaveLength(5);
  });

  it("repeats a command under the same id while only the link fails", async () => {
    const tab = openTab("a");
    gateway.failCommands = 3;
    const request = { sessionId: "a", command: { commandId: "one" } };
    tab.say({ type: "call", id: 1, name: "sendCommand", request });
    await settle(10_000);
    expect(gateway.commandIds).toEqual(["one", "one", "one", "one"]);
    expect(tab.of("failure").every((one) => !one.final)).toBe(true);
    expect(tab.of("answer")[0]).toMatchObject({ id: 1 });
  });

  it("does not repeat a command that was refused", async () => {
    const tab = openTab("a");
    gateway.refusal = new ConnectError("the session has ended", Code.FailedPrecondition);
    const request = { sessionId: "a", command: { commandId: "one" } };
    tab.say({ type: "call", id: 7, name: "sendCommand", request });
    await settle(10_000);
    expect(gateway.commandIds).toEqual(["one"]);
    expect(tab.of("failure")).toMatchObject([
      { id: 7, final: true, failure: { message: "the session has ended" } },
    ]);
  });

  it("has one question on its way for all tabs, and lets a command pass it", async () => {
    const tabs = [openTab("a"), openTab("b")];
    gateway.holdQueries();
    for (const tab of tabs) {
      tab.say({ type: "call", id: 1, name: "queryMetrics", request: { sessionId: "a" } });
    }
    const stop = { sessionId: "a", command: { commandId: "stop" } };
    tabs[1]?.say({ type: "call", id: 2, name: "sendCommand", request: stop });
    await settle(1_000);
    expect(gateway.queries).toBe(1);
    expect(gateway.commandIds).toEqual(["stop"]);
    gateway.releaseQueries?.();
    await settle(100);
    expect(gateway.queries).toBe(2);
    for (const tab of tabs) expect(tab.of("answer").some(({ id }) => id === 1)).toBe(true);
  });

  it("does not repeat a question whose answer is too large", async () => {
    const tab = openTab("a");
    gateway.queryRefusal = new ConnectError("too many points", Code.ResourceExhausted);
    tab.say({ type: "call", id: 1, name: "queryMetrics", request: { sessionId: "a" } });
    await settle(10_000);
    expect(gateway.queries).toBe(1);
    expect(tab.of("failure")).toMatchObject([{ final: true, failure: { fault: "overflow" } }]);
  });

  it("has a session deleted", async () => {
    const tab = openTab("a");
    tab.say({ type: "call", id: 1, name: "deleteSession", request: { sessionId: "old" } });
    await settle(100);
    expect(gateway.deleted).toEqual(["old"]);
    expect(tab.of("answer")).toHaveLength(1);
  });

  it("gives up a command when the tab that asked is gone", async () => {
    const tab = openTab("a");
    gateway.failCommands = 1_000;
    const request = { sessionId: "a", command: { commandId: "one" } };
    tab.say({ type: "call", id: 1, name: "sendCommand", request });
    await settle(300);
    tab.say({ type: "bye" });
    const tries = gateway.commandIds.length;
    await settle(60_000);
    expect(gateway.commandIds).toHaveLength(tries);
  });

  it("sends a command though its tab is closed at that very moment", async () => {
    const tab = openTab("a");
    const request = { sessionId: "a", command: { commandId: "one" } };
    tab.say({ type: "call", id: 1, name: "sendCommand", request });
    tab.say({ type: "bye" });
    await settle(1_000);
    expect(gateway.commandIds).toEqual(["one"]);
  });

  it("lets go of a tab that says nothing for minutes, and of no other", async () => {
    const silent = openTab("a");
    const alive = openTab("a");
    for (let i = 0; i < 5; i++) {
      alive.say({ type: "ping" });
      await settle(60_000);
    }
    const heard = silent.heard.length;
    alive.say({ type: "ping" });
    await settle(10_000);
    expect(silent.heard).toHaveLength(heard);
    expect(alive.of("pong")).toHaveLength(6);
  });

  it("keeps its tabs when the time of day is set", async () => {
    const tab = openTab("a");
    await settle();
    lastChannel()?.push(snapshot());
    await settle();
    vi.setSystemTime(Date.now() + 3_600_000);
    openTab("a").say({ type: "ping" });
    await settle(1_000);
    expect(tab.of("link").at(-1)?.link.state).toBe("live");
    tab.say({ type: "ping" });
    expect(tab.of("pong")).toHaveLength(1);
  });

  it("goes on comparing clocks after a call that failed", async () => {
    const tab = openTab();
    gateway.failLists = 1;
    gateway.list.push({ reset: true });
    await settle(1_000);
    expect(tab.of("clock")).toEqual([]);
    for (let i = 0; i < 20; i++) {
      gateway.list.push({});
      await settle(1_000);
    }
    expect(tab.of("clock").length).toBeGreaterThan(0);
  });

  it("gives a tab that comes on screen the picture it missed while it was hidden", async () => {
    openTab("a");
    const hidden = openTab("a", -1, false);
    await settle();
    lastChannel()?.push(picture(3));
    await settle();
    expect(hidden.of("picture")).toEqual([]);
    hidden.want("a");
    expect(hidden.of("picture")[0]?.picture.globalStep).toBe(3);
  });

  it("tells of a reset before the picture that follows it, though its step be the same", async () => {
    const tab = openTab("a");
    await settle();
    lastChannel()?.push(picture(3));
    await settle();
    tab.say({ type: "ack" });
    const before = tab.heard.length;
    const value = { reset: true, batchData: { globalStep: 3n } };
    lastChannel()?.push({ cursor: "d0", event: { case: "snapshot", value } });
    await settle();
    const kinds = tab.heard.slice(before).map((one) => one.type);
    expect(kinds.filter((kind) => kind !== "received")).toEqual(["events", "picture"]);
  });

  it("says nothing of the list before one has come", async () => {
    const tab = openTab();
    await settle();
    expect(tab.of("sessions")).toEqual([]);
    gateway.list.push({ reset: true });
    await settle();
    expect(tab.of("sessions")).toHaveLength(1);
  });

  it("keeps the list for a tab that comes later", async () => {
    openTab();
    gateway.list.push({ reset: true, sessions: [{ sessionId: "a" }, { sessionId: "b" }] });
    gateway.list.push({ removedSessionIds: ["b"] });
    await settle();
    const late = openTab();
    expect(late.of("sessions")[0]?.sessions.map((one) => one.sessionId)).toEqual(["a"]);
  });
});
