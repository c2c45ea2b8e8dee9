import { CommandState } from "../gen/trainmon/v1/control_pb";
import { SessionState } from "../gen/trainmon/v1/dashboard_pb";
import { TrainerLiveness } from "../gen/trainmon/v1/telemetry_pb";
import type {
  BatchData,
  CommandRecord,
  ControlSpec,
  EpochData,
  ErrorNotice,
  PerformanceData,
  Registration,
  SessionSnapshot,
  SessionSummary,
  StatusUpdate,
  WatchEvent,
} from "../rpc/plain";

const ERRORS_KEPT = 20;
/** A training that says something new at each step fills no memory here. */
const NOTES_KEPT = 500;
const COMMANDS_KEPT = 5_000;

/** What a page knows of one session, but for its scalars and pictures. */
export interface SessionView {
  summary: SessionSummary | undefined;
  registration: Registration | undefined;
  performance: PerformanceData | undefined;
  epochs: EpochData[];
  /** Oldest first. */
  commands: CommandRecord[];
  notes: string[];
  errors: ErrorNotice[];
  missingRecords: number;
  /** Counts how often everything was forgotten because the store had changed. */
  resets: number;
}

export const emptySession: SessionView = {
  summary: undefined,
  registration: undefined,
  performance: undefined,
  epochs: [],
  commands: [],
  notes: [],
  errors: [],
  missingRecords: 0,
  resets: 0,
};

/** The view after an event. Pictures and scalars are no part of it and leave it as it is. */
export function applyEvent(view: SessionView, event: WatchEvent): SessionView {
  switch (event.case) {
    case "snapshot":
      return applySnapshot(view, event.value);
    case "keepAlive":
      return event.value.summary ? { ...view, summary: event.value.summary } : view;
    case "epochData":
      return { ...view, epochs: withEpoch(view.epochs, event.value) };
    case "performanceData":
      return { ...view, performance: event.value };
    case "statusUpdate":
      return applyStatus(view, event.value);
    case "commandRecord":
      return applyCommand(view, event.value);
    case "error":
      return { ...view, errors: [...view.errors, event.value].slice(-ERRORS_KEPT) };
    default:
      return view;
  }
}

function applySnapshot(view: SessionView, snapshot: SessionSnapshot): SessionView {
  return {
    summary: snapshot.summary,
    registration: snapshot.registration,
    performance: snapshot.performanceData,
    epochs: [...snapshot.epochs].sort(byAttemptAndEpoch),
    commands: snapshot.commands,
    notes: distinct(snapshot.notes),
    errors: snapshot.errors,
    missingRecords: snapshot.missingRecords,
    resets: view.resets + (snapshot.reset ? 1 : 0),
  };
}

/** An epoch is named by attempt and number: the same again replaces. */
function withEpoch(epochs: EpochData[], epoch: EpochData): EpochData[] {
  const others = epochs.filter((one) => one.epoch !== epoch.epoch || one.attempt !== epoch.attempt);
  return [...others, epoch].sort(byAttemptAndEpoch);
}

function byAttemptAndEpoch(a: EpochData, b: EpochData): number {
  return a.attempt - b.attempt || a.epoch - b.epoch;
}

/** What the training says is shown at once; the monitor's own view of it follows each second. */
function applyStatus(view: SessionView, update: StatusUpdate): SessionView {
  const registration = withDetails(view.registration, update.details);
  const told = update.details?.notes ?? [];
  const notes = told.length > 0 ? distinct([...view.notes, ...told]) : view.notes;
  const died = update.trainer === TrainerLiveness.DIED;
  const state = died ? SessionState.DIED : (update.status as number as SessionState);
  const summary = view.summary && {
    ...view.summary,
    state: state === SessionState.UNSPECIFIED ? view.summary.state : state,
    statusMessage: update.message || view.summary.statusMessage,
  };
  return { ...view, registration, notes, summary };
}

/** Each note once, where it was said first; the newest of very many. */
function distinct(notes: string[]): string[] {
  return [...new Set(notes)].slice(-NOTES_KEPT);
}

function withDetails(
  registration: Registration | undefined,
  details: StatusUpdate["details"],
): Registration | undefined {
  if (registration === undefined || details === undefined) return registration;
  const merged = {
    ...registration,
    hyperparameters: { ...registration.hyperparameters, ...details.hyperparameters },
    controls: mergeControls(registration.controls, details.controls),
  };
  if (details.classNames.length > 0) merged.classNames = details.classNames;
  if (details.totalEpochs !== undefined) merged.totalEpochs = details.totalEpochs;
  if (details.batchesPerEpoch !== undefined) merged.batchesPerEpoch = details.batchesPerEpoch;
  return merged;
}

function mergeControls(known: ControlSpec[], changed: ControlSpec[]): ControlSpec[] {
  const byName = new Map(known.map((spec) => [spec.name, spec]));
  for (const spec of changed) byName.set(spec.name, spec);
  return [...byName.values()];
}

function applyCommand(view: SessionView, record: CommandRecord): SessionView {
  const id = record.command?.commandId;
  const at = view.commands.findIndex((one) => one.command?.commandId === id);
  const known = view.commands[at];
  if (known !== undefined && isOlder(record, known)) return view;
  const commands =
    at < 0 ? [...view.commands, record].slice(-COMMANDS_KEPT) : view.commands.with(at, record);
  return { ...view, commands, registration: withAppliedValue(view.registration, record) };
}

/** The answer to a call may come after what the stream told of the same command since. */
function isOlder(record: CommandRecord, known: CommandRecord): boolean {
  const steps = record.transitions.length - known.transitions.length;
  return steps < 0 || (steps === 0 && record.timestampMs < known.timestampMs);
}

/** The control shows the value in force, not the one that was asked for. */
function withAppliedValue(
  registration: Registration | undefined,
  record: CommandRecord,
): Registration | undefined {
  const value = record.result?.appliedValue;
  const name = controlName(record);
  if (registration === undefined || name === undefined || value === undefined) return registration;
  if (record.state !== CommandState.APPLIED) return registration;
  const controls = registration.controls.map((spec) =>
    spec.name === name ? { ...spec, currentValue: value } : spec,
  );
  return { ...registration, controls };
}

/** The name of the control whose declared value a command sets; undefined where it sets none. */
export function controlName(record: CommandRecord): string | undefined {
  const action = record.command?.action;
  if (action?.case === "adjustLearningRate") {
    // What is declared is the first optimizer's first group.
    const { optimizerIndex = 0, group = 0 } = action.value;
    return optimizerIndex === 0 && group === 0 ? "learning_rate" : undefined;
  }
  return action?.case === "setControl" ? action.value.name : undefined;
}

/**
 * Whether a picture is of before another of the same run: by its step and by its time, for whoever
 * counts steps in a way of their own would else see none any more.
 */
export function isOlderPicture(picture: BatchData, than: BatchData): boolean {
  if (picture.timestampMs >= than.timestampMs) return false;
  if (picture.attempt !== than.attempt) return picture.attempt < than.attempt;
  return picture.globalStep < than.globalStep;
}

/** The newest picture of an event that holds one. */
export function pictureOf(event: WatchEvent): BatchData | undefined {
  if (event.case === "batchData") return event.value;
  return event.case === "snapshot" ? event.value.batchData : undefined;
}
