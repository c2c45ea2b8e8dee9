import { type FormEvent, useState } from "react";
import type { ControlSpec } from "../rpc/plain";
import { type Action, type ControlKind, kindOf, valueWords } from "../store/commands";
import { formatSetting } from "../store/format";
import { useRun } from "../ui/hooks";
import { Modal } from "../ui/Modal";

/** The right widget for a control this page has never heard of. */
export function ControlWidget({ spec }: { spec: ControlSpec }) {
  const send = useSend(spec);
  const kind = kindOf(spec);
  const now = spec.currentValue;
  if (kind === "trigger") {
    return (
      <ActionButton
        spec={spec}
        action={{ case: "setControl", value: { name: spec.name, value: 0 } }}
      />
    );
  }
  return (
    <div className="control">
      <div className="control-head">
        <span className="control-title" title={spec.description}>
          {spec.title || spec.name}
        </span>
        <span className="control-now">{now === undefined ? "–" : valueWords(spec, now)}</span>
      </div>
      {kind === "boolean" && <Switch spec={spec} onChange={send.ask} />}
      {kind === "choice" && <Choice spec={spec} onChange={send.ask} />}
      {(kind === "number" || kind === "integer") && (
        <NumberForm spec={spec} kind={kind} onSubmit={send.ask} />
      )}
      {spec.unavailableReason !== "" && <p className="control-problem">{spec.unavailableReason}</p>}
      {send.dialog}
    </div>
  );
}

/** Sends a value, but asks first where the control is destructive. */
function useSend(spec: ControlSpec) {
  const run = useRun();
  const [asked, setAsked] = useState<number>();
  const send = (value: number) => {
    setAsked(undefined);
    void run.commander.send({ case: "setControl", value: { name: spec.name, value } });
  };
  return {
    ask: (value: number) => (spec.destructive ? setAsked(value) : send(value)),
    dialog:
      asked === undefined ? null : (
        <Ask spec={spec} onYes={() => send(asked)} onNo={() => setAsked(undefined)} />
      ),
  };
}

function Ask(props: { spec: ControlSpec; onYes: () => void; onNo: () => void }) {
  const title = props.spec.title || props.spec.name;
  return (
    <Modal label={title} className="ask" onClose={props.onNo}>
      <h2>{title}?</h2>
      <p>{props.spec.description || "This cannot be undone."}</p>
      <div className="ask-buttons">
        <button type="button" className="button big" onClick={props.onNo}>
          No
        </button>
        <button type="button" className="button big" data-tone="bad" onClick={props.onYes}>
          {title}
        </button>
      </div>
    </Modal>
  );
}

/** A button that does something once. */
export function ActionButton({ spec, action }: { spec: ControlSpec; action: Action }) {
  const run = useRun();
  const [asking, setAsking] = useState(false);
  const send = () => {
    setAsking(false);
    void run.commander.send(action);
  };
  return (
    <>
      <button
        type="button"
        className="button"
        data-testid={`control-${spec.name}`}
        disabled={spec.unavailableReason !== ""}
        title={spec.unavailableReason || spec.description}
        onClick={() => (spec.destructive ? setAsking(true) : send())}
      >
        {spec.title || spec.name}
        {spec.destructive ? "…" : ""}
      </button>
      {asking && <Ask spec={spec} onYes={send} onNo={() => setAsking(false)} />}
    </>
  );
}

interface WidgetProps {
  spec: ControlSpec;
  onChange: (value: number) => void;
}

function Switch({ spec, onChange }: WidgetProps) {
  const on = (spec.currentValue ?? 0) !== 0;
  return (
    <button
      type="button"
      role="switch"
      className="switch"
      aria-checked={on}
      aria-label={spec.title || spec.name}
      disabled={spec.unavailableReason !== ""}
      data-testid={`control-${spec.name}`}
      onClick={() => onChange(on ? 0 : 1)}
    />
  );
}

function Choice({ spec, onChange }: WidgetProps) {
  return (
    <select
      className="input"
      aria-label={spec.title || spec.name}
      disabled={spec.unavailableReason !== ""}
      data-testid={`control-${spec.name}`}
      value={spec.currentValue ?? 0}
      onChange={(event) => onChange(Number(event.target.value))}
    >
      {spec.choices.map((choice, index) => (
        <option key={choice} value={index}>
          {choice}
        </option>
      ))}
    </select>
  );
}

function NumberForm(props: {
  spec: ControlSpec;
  kind: ControlKind;
  onSubmit: (value: number) => void;
}) {
  const { spec } = props;
  const [draft, setDraft] = useState("");
  const value = Number(draft);
  // Blanks are no number, though JavaScript reads them as 0.
  const blank = draft.trim() === "";
  const problem = blank ? "" : problemOf(value, spec, props.kind);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (blank || problem !== "") return;
    props.onSubmit(value);
    setDraft("");
  };
  return (
    <form className="control-row" onSubmit={submit}>
      <input
        className="input"
        inputMode="decimal"
        autoComplete="off"
        placeholder={formatSetting(spec.currentValue)}
        aria-label={spec.title || spec.name}
        aria-invalid={problem !== ""}
        title={problem}
        data-testid={`control-${spec.name}`}
        value={draft}
        onChange={(event) => setDraft(event.target.value)}
      />
      <button
        type="submit"
        className="button"
        disabled={blank || problem !== "" || spec.unavailableReason !== ""}
        title={spec.unavailableReason}
      >
        Apply
      </button>
      {problem !== "" && <span className="control-problem">{problem}</span>}
    </form>
  );
}

function problemOf(value: number, spec: ControlSpec, kind: ControlKind): string {
  if (!Number.isFinite(value)) return "A number.";
  if (kind === "integer" && !Number.isInteger(value)) return "A whole number.";
  if (spec.minimum !== undefined && value < spec.minimum)
    return `At least ${formatSetting(spec.minimum)}.`;
  if (spec.maximum !== undefined && value > spec.maximum)
    return `At most ${formatSetting(spec.maximum)}.`;
  return "";
}
