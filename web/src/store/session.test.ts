import { describe, expect, it } from "vitest";
import { CommandState } from "../gen/trainmon/v1/control_pb";
import { SessionState } from "../gen/trainmon/v1/dashboard_pb";
import { TrainerLiveness, TrainingStatus } from "../gen/trainmon/v1/telemetry_pb";
import type { WatchEvent } from "../rpc/plain";
import { applyEvent, emptySession, type SessionView } from "./session";
import { epochOf, recordOf, snapshotOf } from "./testing";

const running = (): SessionView => {
  const value = snapshotOf({
    summary: { sessionId: "a", state: SessionState.RUNNING },
    registration: {
      hyperparameters: { lr: "0.1" },
      controls: [{ name: "learning_rate", currentValue: 0.1 }],
    },
  });
  return applyEvent(emptySession, { case: "snapshot", value });
};

const record = (id: string, state: CommandState, appliedValue?: number) =>
  recordOf({
    command: {
      commandId: id,
      action: {
        case: "adjustLearningRate",
        value: { value: { case: "learningRate", value: 0.5 } },
      },
    },
    state,
    ...(appliedValue === undefined ? {} : { result: { appliedValue } }),
  });

const passed = (states: CommandState[], timestampMs: bigint) =>
  recordOf({
    command: { commandId: "one" },
    state: states.at(-1) ?? CommandState.UNSPECIFIED,
    transitions: states.map((state) => ({ state, timestampMs })),
    timestampMs,
  });

const SENT = passed([CommandState.RECORDED, CommandState.SENT], 1n);
const APPLIED = passed([CommandState.RECORDED, CommandState.SENT, CommandState.APPLIED], 2n);

const status = (value: object): WatchEvent =>
  ({ case: "statusUpdate", value: { message: "", trainer: 0, ...value } }) as WatchEvent;

describe("applyEvent", () => {
  it("replaces a command's record by its id and adds a new one at the end", () => {
    let view = running();
    view = applyEvent(view, { case: "commandRecord", value: record("1", CommandState.SENT) });
    view = applyEvent(view, { case: "commandRecord", value: record("2", CommandState.SENT) });
    view = applyEvent(view, { case: "commandRecord", value: record("1", CommandState.ACCEPTED) });
    expect(view.commands.map((one) => one.state)).toEqual([
      CommandState.ACCEPTED,
      CommandState.SENT,
    ]);
  });

  it("does not take a command back for an answer that comes late", () => {
    let view = applyEvent(emptySession, { case: "commandRecord", value: APPLIED });
    view = applyEvent(view, { case: "commandRecord", value: SENT });
    expect(view.commands).toEqual([APPLIED]);
  });

  it("moves a command on, and takes what was read back later for what was there", () => {
    let view = applyEvent(emptySession, { case: "commandRecord", value: SENT });
    view = applyEvent(view, { case: "commandRecord", value: APPLIED });
    const readBack = { ...APPLIED, timestampMs: 3 };
    view = applyEvent(view, { case: "commandRecord", value: readBack });
    expect(view.commands).toEqual([readBack]);
  });

  it("shows the value that was applied, not the one that was asked for", () => {
    const applied = record("1", CommandState.APPLIED, 0.4);
    const view = applyEvent(running(), { case: "commandRecord", value: applied });
    expect(view.registration?.controls[0]?.currentValue).toBe(0.4);
  });

  it("does not take another optimizer's rate for the one that is declared", () => {
    const change = { optimizerIndex: 1, value: { case: "learningRate", value: 0.4 } } as const;
    const other = recordOf({
      command: { commandId: "1", action: { case: "adjustLearningRate", value: change } },
      state: CommandState.APPLIED,
      result: { appliedValue: 0.4 },
    });
    const before = running().registration?.controls;
    const view = applyEvent(running(), { case: "commandRecord", value: other });
    expect(view.registration?.controls).toEqual(before);
  });

  it("replaces an epoch that comes again and sorts those that come late", () => {
    let view = running();
    for (const epoch of [1, 0, 1]) {
      view = applyEvent(view, { case: "epochData", value: epochOf({ epoch, averageLoss: epoch }) });
    }
    expect(view.epochs.map((one) => one.epoch)).toEqual([0, 1]);
  });

  it("tells a process that died from one that failed", () => {
    const died = { status: TrainingStatus.FAILED, trainer: TrainerLiveness.DIED };
    expect(applyEvent(running(), status(died)).summary?.state).toBe(SessionState.DIED);
    const failed = applyEvent(
      running(),
      status({ status: TrainingStatus.FAILED, message: "boom" }),
    );
    expect(failed.summary).toMatchObject({ state: SessionState.FAILED, statusMessage: "boom" });
  });

  it("merges what becomes known after registration", () => {
    const details = {
      classNames: ["x"],
      totalEpochs: 7,
      hyperparameters: { momentum: "0.9" },
      controls: [{ name: "learning_rate", currentValue: 0.2 }, { name: "dropout" }],
      notes: ["said once"],
    };
    const view = applyEvent(running(), status({ status: TrainingStatus.RUNNING, details }));
    expect(view.registration).toMatchObject({
      classNames: ["x"],
      totalEpochs: 7,
      hyperparameters: { lr: "0.1", momentum: "0.9" },
    });
    expect(view.registration?.controls.map((one) => one.name)).toEqual([
      "learning_rate",
      "dropout",
    ]);
    expect(view.notes).toEqual(["said once"]);
  });

  it("counts resets, so that what was held is dropped", () => {
    const again = snapshotOf({ reset: true });
    expect(applyEvent(running(), { case: "snapshot", value: again }).resets).toBe(1);
  });

  it("keeps the newest twenty errors", () => {
    let view = running();
    for (let i = 0; i < 30; i++) {
      const value = { code: 1, message: String(i), timestampMs: i };
      view = applyEvent(view, { case: "error", value });
    }
    expect(view.errors).toHaveLength(20);
    expect(view.errors[19]?.message).toBe("29");
  });
});
