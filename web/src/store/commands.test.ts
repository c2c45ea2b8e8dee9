import { describe, expect, it } from "vitest";
import { CommandState, ControlType } from "../gen/trainmon/v1/control_pb";
import type { ControlSpec } from "../rpc/plain";
import {
  actionWords,
  changeWords,
  effectWords,
  kindOf,
  markersOf,
  newCommandId,
  outstanding,
} from "./commands";
import { recordOf } from "./testing";

const spec = (init: Partial<ControlSpec>): ControlSpec => ({
  name: "knob",
  title: "",
  description: "",
  type: ControlType.NUMBER,
  unit: "",
  choices: [],
  destructive: false,
  logarithmic: false,
  unavailableReason: "",
  ...init,
});

const applied = recordOf({
  command: {
    action: { case: "adjustLearningRate", value: { value: { case: "factor", value: 0.5 } } },
  },
  state: CommandState.APPLIED,
  result: { appliedAtStep: 41n, previousValue: 0.02, appliedValue: 0.01, effectiveValue: 0.0093 },
});

describe("commands in words", () => {
  it("says old, new and effective value", () => {
    expect(changeWords(applied, [])).toBe("0.02 → 0.01 · effective 0.0093");
  });

  it("says no change of what only happens, and no value that is not known", () => {
    const set = { case: "setControl", value: { name: "knob", value: 1 } } as const;
    const told = (action: typeof set, result: object) =>
      recordOf({ command: { action }, state: CommandState.APPLIED, result });
    const zeros = { previousValue: 0, appliedValue: 0 };
    expect(changeWords(told(set, zeros), [spec({ type: ControlType.TRIGGER })])).toBeUndefined();
    const save = { case: "saveCheckpoint", value: {} } as const;
    const saved = recordOf({ command: { action: save }, result: zeros });
    expect(changeWords(saved, [])).toBeUndefined();
    const unread = { previousValue: Number.NaN, appliedValue: 1, effectiveValue: Number.NaN };
    expect(changeWords(told(set, unread), [spec({})])).toBe("? → 1");
    const flip = { previousValue: 0, appliedValue: 1, effectiveValue: 1 };
    const words = changeWords(told(set, flip), [spec({ type: ControlType.BOOLEAN })]);
    expect(words).toBe("off → on · effective on");
  });

  it("tells that a pause at a step holds that one, after the newest one shown", () => {
    const pause = recordOf({
      command: { action: { case: "pause", value: {} } },
      state: CommandState.APPLIED,
      result: { appliedAtStep: 700n },
    });
    expect(effectWords(pause)).toBe("After step 699; step 700 waits.");
    expect(effectWords(applied)).toBeUndefined();
  });

  it("says whose learning rate is meant where not all are", () => {
    const value = { case: "learningRate", value: 0.1 } as const;
    const words = (whose: object) =>
      actionWords({ case: "adjustLearningRate", value: { ...whose, value } } as const, []);
    expect(words({})).toBe("Learning rate → 0.1");
    expect(words({ optimizerIndex: 1 })).toBe("Learning rate of optimizer 2 → 0.1");
    expect(words({ optimizerIndex: 0, group: 2 })).toBe(
      "Learning rate of optimizer 1, group 3 → 0.1",
    );
  });

  it("names a choice and a switch as a person would", () => {
    const action = { case: "setControl", value: { name: "knob", value: 1 } } as const;
    const choice = spec({ type: ControlType.CHOICE, choices: ["soft", "hard"], title: "Mode" });
    expect(actionWords(action, [choice])).toBe("Mode → hard");
    expect(actionWords(action, [spec({ type: ControlType.BOOLEAN })])).toBe("knob → on");
    expect(actionWords(action, [spec({ type: ControlType.TRIGGER })])).toBe("knob");
    expect(actionWords(action, [])).toBe("knob → 1");
  });

  it("draws a control of an unknown type as a number", () => {
    expect(kindOf(spec({ type: 99 as ControlType }))).toBe("number");
  });
});

describe("markersOf", () => {
  it("marks only what took effect, at the step it did", () => {
    const sent = recordOf({
      command: { action: { case: "pause", value: {} } },
      state: CommandState.SENT,
    });
    expect(markersOf([sent, applied], [])).toEqual([
      { step: 41, words: "Learning rate × 0.5", kind: "adjustLearningRate" },
    ]);
  });
});

describe("outstanding", () => {
  it("finds the newest command of a kind that has not ended", () => {
    const pause = (state: CommandState) =>
      recordOf({ command: { action: { case: "pause", value: {} } }, state });
    const open = pause(CommandState.ACCEPTED);
    expect(outstanding([open, pause(CommandState.APPLIED)], "pause")).toBe(open);
    expect(outstanding([pause(CommandState.REJECTED)], "pause")).toBeUndefined();
  });
});

describe("newCommandId", () => {
  it("is new each time and fits the wire", () => {
    const ids = new Set(Array.from({ length: 100 }, newCommandId));
    expect(ids.size).toBe(100);
    for (const id of ids) expect(id.length).toBeLessThanOrEqual(128);
  });
});
