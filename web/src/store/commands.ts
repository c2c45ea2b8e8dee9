import { CommandState } from "../gen/trainmon/v1/control_pb";
import type { CommandRecord, ControlCommand, ControlSpec } from "../rpc/plain";
import { formatCount, formatSetting } from "./format";
import type { Tone } from "./states";

/** What may be asked, as the page builds it. */
export type Action = Exclude<ControlCommand["action"], { case: undefined }>;

/** A command of this tab that is not on record yet. */
export interface PendingCommand {
  id: string;
  action: Action;
  sinceMs: number;
  state: "sending" | "retrying" | "refused";
  /** Why it is tried again or was refused. */
  message: string;
}

export interface StageLook {
  /** Stable machine name, as in `data-state`. */
  name: string;
  word: string;
  tone: Tone;
  /** Whether nothing more will happen to it. */
  final: boolean;
}

const STAGES: Record<CommandState, StageLook> = {
  [CommandState.UNSPECIFIED]: { name: "unknown", word: "unknown", tone: "quiet", final: false },
  [CommandState.RECORDED]: { name: "recorded", word: "recorded", tone: "wait", final: false },
  [CommandState.SENT]: { name: "sent", word: "sent", tone: "wait", final: false },
  [CommandState.UNCONFIRMED]: {
    name: "unconfirmed",
    word: "unconfirmed",
    tone: "warn",
    final: false,
  },
  [CommandState.ACCEPTED]: { name: "accepted", word: "accepted", tone: "wait", final: false },
  [CommandState.APPLIED]: { name: "applied", word: "applied", tone: "live", final: true },
  [CommandState.REJECTED]: { name: "rejected", word: "rejected", tone: "bad", final: true },
  [CommandState.EXPIRED]: { name: "expired", word: "expired", tone: "quiet", final: true },
};

/** How a command state looks. */
export function stageOf(state: CommandState): StageLook {
  return STAGES[state] ?? STAGES[CommandState.UNSPECIFIED];
}

/** What a command asks for, in a few words. */
export function actionWords(action: ControlCommand["action"], controls: ControlSpec[]): string {
  switch (action.case) {
    case "pause":
      return "Pause";
    case "resume":
      return "Resume";
    case "stop":
      return "Stop";
    case "saveCheckpoint":
      return "Save checkpoint";
    case "evaluate":
      return "Evaluate";
    case "adjustLearningRate":
      return learningRateWords(action.value);
    case "setControl":
      return controlWords(action.value.name, action.value.value, controls);
    default:
      return "Unknown command";
  }
}

type RateChange = Extract<ControlCommand["action"], { case: "adjustLearningRate" }>["value"];

function learningRateWords({ value, optimizerIndex, group }: RateChange): string {
  const whose = [
    ...(optimizerIndex === undefined ? [] : [` of optimizer ${optimizerIndex + 1}`]),
    ...(group === undefined ? [] : [`, group ${group + 1}`]),
  ].join("");
  const sign = value.case === "factor" ? "×" : "→";
  return `Learning rate${whose} ${sign} ${formatSetting(value.value)}`;
}

function controlWords(name: string, value: number, controls: ControlSpec[]): string {
  const spec = controls.find((one) => one.name === name);
  const title = spec?.title || name;
  const words = spec ? valueWords(spec, value) : formatSetting(value);
  return words === "" ? title : `${title} → ${words}`;
}

/** A value of a control as a person reads it: a choice by name, a switch as on or off. */
export function valueWords(spec: ControlSpec, value: number): string {
  const kind = kindOf(spec);
  if (kind === "trigger") return "";
  if (kind === "boolean") return value === 0 ? "off" : "on";
  if (kind === "choice") return spec.choices[value] ?? `choice ${value}`;
  return spec.unit === "" ? formatSetting(value) : `${formatSetting(value)} ${spec.unit}`;
}

export type ControlKind = "number" | "integer" | "boolean" | "choice" | "trigger";

const KINDS: Record<number, ControlKind> = {
  2: "integer",
  3: "boolean",
  4: "choice",
  5: "trigger",
};

/** Which widget a control wants; one of an unknown type is a number. */
export function kindOf(spec: ControlSpec): ControlKind {
  return KINDS[spec.type] ?? "number";
}

/** Actions with controls of their own on the page: no widget is drawn for their specs. */
export const BUILT_IN = new Set([
  "learning_rate",
  "pause",
  "resume",
  "stop",
  "save_checkpoint",
  "evaluate",
]);

/** A command of which nothing more is known than that it was asked for, still on its way. */
export function isOutstanding(record: CommandRecord): boolean {
  return !stageOf(record.state).final;
}

/** The newest command of a kind that is still on its way. */
export function outstanding(
  records: CommandRecord[],
  action: Action["case"],
): CommandRecord | undefined {
  return records.findLast(
    (record) => record.command?.action.case === action && isOutstanding(record),
  );
}

/** A mark on the charts: a command that took effect. */
export interface Marker {
  step: number;
  words: string;
  kind: Action["case"];
}

/** Every command that took effect at a known step. */
export function markersOf(records: CommandRecord[], controls: ControlSpec[]): Marker[] {
  return records.flatMap((record) => {
    const step = record.result?.appliedAtStep;
    const action = record.command?.action;
    if (record.state !== CommandState.APPLIED || step === undefined) return [];
    if (action === undefined || action.case === undefined) return [];
    return [{ step, words: actionWords(action, controls), kind: action.case }];
  });
}

/** Old, new and effective value of an applied command; undefined where it has none. */
export function changeWords(record: CommandRecord, controls: ControlSpec[]): string | undefined {
  const { result, command } = record;
  const action = command?.action;
  if (action?.case !== "setControl" && action?.case !== "adjustLearningRate") return undefined;
  const name = action.case === "setControl" ? action.value.name : undefined;
  const spec = controls.find((one) => one.name === name);
  // What only happens once has no value, whatever stands in the field.
  if (spec !== undefined && kindOf(spec) === "trigger") return undefined;
  const words = (value: number) => (spec ? valueWords(spec, value) : formatSetting(value));
  const [before, after, effective] = [
    result?.previousValue,
    result?.appliedValue,
    result?.effectiveValue,
  ].map((value) => (value === undefined || Number.isNaN(value) ? undefined : words(value)));
  if (after === undefined) return undefined;
  const change = `${before ?? "?"} → ${after}`;
  return effective === undefined ? change : `${change} · effective ${effective}`;
}

/**
 * What a step of a command means: it took effect between two batches, after the one the page shows
 * as the newest. Undefined where that is plain.
 */
export function effectWords(record: CommandRecord): string | undefined {
  const step = record.result?.appliedAtStep;
  const kind = record.command?.action.case;
  if (record.state !== CommandState.APPLIED || step === undefined || step === 0) return undefined;
  if (kind === "pause")
    return `After step ${formatCount(step - 1)}; step ${formatCount(step)} waits.`;
  return kind === "stop" ? `Step ${formatCount(step - 1)} was the last.` : undefined;
}

/** A new command id: unique, and the same at every retry. */
export function newCommandId(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  // Outside a secure context there is no randomUUID; these are as many random bits.
  const words = crypto.getRandomValues(new Uint32Array(4));
  return [...words].map((word) => word.toString(16).padStart(8, "0")).join("-");
}
