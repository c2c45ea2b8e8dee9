import { describe, expect, it } from "vitest";
import { CommandState } from "../gen/trainmon/v1/control_pb";
import { SessionState } from "../gen/trainmon/v1/dashboard_pb";
import { stageOf } from "./commands";
import { lookOf } from "./states";

const states = Object.values(SessionState).filter((one) => typeof one === "number");

describe("lookOf", () => {
  it("gives each state a word and a shape of its own", () => {
    const looks = states.map(lookOf);
    expect(new Set(looks.map((one) => one.word)).size).toBe(states.length);
    expect(new Set(looks.map((one) => one.shape)).size).toBe(states.length);
  });

  it("knows the ends", () => {
    const ends = states.filter((one) => lookOf(one).ended).map((one) => SessionState[one]);
    expect(ends).toEqual(["COMPLETED", "STOPPED", "FAILED", "DIED"]);
  });

  it("takes a state of a newer monitor for unknown", () => {
    expect(lookOf(99 as SessionState).name).toBe("unknown");
  });
});

describe("stageOf", () => {
  it("calls unconfirmed no end", () => {
    expect(stageOf(CommandState.UNCONFIRMED).final).toBe(false);
    expect(stageOf(CommandState.APPLIED).final).toBe(true);
  });
});
