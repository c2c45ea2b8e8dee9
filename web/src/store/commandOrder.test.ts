import { expect, test } from "vitest";
import { CommandState } from "../gen/trainmon/v1/control_pb";
import type { CommandRecord } from "../rpc/plain";
import { applyEvent, emptySession } from "./session";

function record(states: CommandState[], timestampMs: number): CommandRecord {
  const state = states[states.length - 1] ?? CommandState.UNSPECIFIED;
  const transitions = states.map((each) => ({ state: each, timestampMs, message: "" }));
  return {
    command: { commandId: "one", issuedBy: "", timestampMs: 0, action: { case: undefined } },
    sessionId: "run",
    state,
    transitions,
    timestampMs,
  } as unknown as CommandRecord;
}

const SENT = record([CommandState.RECORDED, CommandState.SENT], 1);
const APPLIED = record([CommandState.RECORDED, CommandState.SENT, CommandState.APPLIED], 2);

test("an answer that comes late does not take a command back", () => {
  let view = applyEvent(emptySession, { case: "commandRecord", value: APPLIED });
  view = applyEvent(view, { case: "commandRecord", value: SENT });
  expect(view.commands).toEqual([APPLIED]);
});

test("a command moves on, and what was read back later replaces what was there", () => {
  let view = applyEvent(emptySession, { case: "commandRecord", value: SENT });
  view = applyEvent(view, { case: "commandRecord", value: APPLIED });
  const readBack = { ...APPLIED, timestampMs: 3 };
  view = applyEvent(view, { case: "commandRecord", value: readBack });
  expect(view.commands).toEqual([readBack]);
});
