import { type FormEvent, useState } from "react";
import type { ControlSpec } from "../rpc/plain";
import { BUILT_IN, valueWords } from "../store/commands";
import { formatSetting } from "../store/format";
import { lookOf } from "../store/states";
import { useRun, useStore, useView } from "../ui/hooks";
import { Pair, Panel } from "../ui/parts";
import { ActionButton, ControlWidget } from "./ControlWidget";

/** What can be changed while it trains. */
export function Steering() {
  const { registration, summary } = useView();
  const controls = registration?.controls ?? [];
  const ended = summary === undefined || lookOf(summary.state).ended;
  const named = (name: string) => controls.find((spec) => spec.name === name);
  const checkpoint = named("save_checkpoint");
  const evaluate = named("evaluate");
  const others = controls.filter((spec) => !BUILT_IN.has(spec.name));
  if (ended && summary) return <LastSettings controls={controls} />;
  return (
    <Panel title="Steer" className="steer-panel">
      <fieldset disabled={ended} className="steer" aria-label="Controls">
        <LearningRate
          spec={named("learning_rate")}
          // A trainer of the original protocol declares nothing, and may take it all the same.
          unknown={registration?.sendsMetricData === true && named("learning_rate") === undefined}
        />
        {(checkpoint || evaluate) && (
          <div className="actions">
            {checkpoint && (
              <ActionButton spec={checkpoint} action={{ case: "saveCheckpoint", value: {} }} />
            )}
            {evaluate && <ActionButton spec={evaluate} action={{ case: "evaluate", value: {} }} />}
          </div>
        )}
        {others.map((spec) => (
          <ControlWidget key={spec.name} spec={spec} />
        ))}
      </fieldset>
    </Panel>
  );
}

/** What was set when the run ended. */
function LastSettings({ controls }: { controls: ControlSpec[] }) {
  const known = controls.filter(({ currentValue }) => currentValue !== undefined);
  return (
    <Panel title="Steer" className="steer-panel">
      <p className="nothing">The run has ended: nothing can be changed.</p>
      <dl className="pairs">
        {known.map((spec) => (
          <Pair
            key={spec.name}
            name={spec.title || spec.name}
            value={valueWords(spec, spec.currentValue ?? 0)}
          />
        ))}
      </dl>
    </Panel>
  );
}

/** Decades below and above the value in force that the slider spans where no range is declared. */
const SPAN = 100;
const SLIDER_STEPS = 400;

const NO_OPTIMIZER = "The training names no optimizer at its control points.";

function LearningRate({ spec, unknown }: { spec: ControlSpec | undefined; unknown: boolean }) {
  const run = useRun();
  useStore(run.gauges);
  const rates = run.metrics.learningRates();
  const [optimizer, setOptimizer] = useState<number>();
  const effective = rates[optimizer ?? 0];
  // Of further optimizers only the value in force is told.
  const base = optimizer ? effective : (spec?.currentValue ?? effective);
  const [mode, setMode] = useState<"set" | "scale">("set");
  const [draft, setDraft] = useState("");
  const reason = unknown ? NO_OPTIMIZER : (spec?.unavailableReason ?? "");
  const value = Number(draft);
  const problem = draft.trim() === "" ? "" : problemOf(value, mode, spec);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (draft.trim() === "" || problem !== "") return;
    const chosen = mode === "set" ? "learningRate" : "factor";
    const change = { case: chosen, value } as { case: "learningRate"; value: number };
    const whose = optimizer === undefined ? {} : { optimizerIndex: optimizer };
    void run.commander.send({ case: "adjustLearningRate", value: { ...whose, value: change } });
    setDraft("");
  };
  return (
    <form className="control learning-rate" onSubmit={submit} aria-label="Learning rate">
      <div className="control-head">
        <span className="control-title">Learning rate</span>
        <span className="control-now" title="Base of the schedule · value in force">
          {formatSetting(base)}
          {effective !== undefined && base !== effective && (
            <small> in force {formatSetting(effective)}</small>
          )}
        </span>
      </div>
      <OptimizerChoice rates={rates} chosen={optimizer} onChoose={setOptimizer} />
      <RateSlider
        disabled={reason !== ""}
        spec={spec}
        base={base}
        draft={mode === "set" ? draft : ""}
        onChange={(text) => {
          setMode("set");
          setDraft(text);
        }}
      />
      <div className="control-row">
        <fieldset className="segments" aria-label="How to change it">
          <button type="button" aria-pressed={mode === "set"} onClick={() => setMode("set")}>
            Set
          </button>
          <button type="button" aria-pressed={mode === "scale"} onClick={() => setMode("scale")}>
            Scale
          </button>
        </fieldset>
        <input
          className="input"
          inputMode="decimal"
          autoComplete="off"
          placeholder={mode === "set" ? formatSetting(base) : "0.5"}
          aria-label={mode === "set" ? "New learning rate" : "Factor"}
          aria-invalid={problem !== ""}
          disabled={reason !== ""}
          data-testid="learning-rate-input"
          value={draft}
          onChange={(event) => setDraft(event.target.value)}
        />
        <button
          type="submit"
          className="button"
          data-tone="accent"
          data-testid="learning-rate-apply"
          disabled={draft.trim() === "" || problem !== "" || reason !== ""}
          title={reason}
        >
          Apply
        </button>
      </div>
      {mode === "scale" && <FactorChips onChoose={setDraft} />}
      {(problem || reason) && <p className="control-problem">{problem || reason}</p>}
    </form>
  );
}

function FactorChips({ onChoose }: { onChoose: (factor: string) => void }) {
  return (
    <div className="chips">
      {["0.1", "0.5", "2", "10"].map((factor) => (
        <button
          key={factor}
          type="button"
          className="button small"
          onClick={() => onChoose(factor)}
        >
          ×{factor}
        </button>
      ))}
    </div>
  );
}

/** Which optimizer is meant, where a run tells the learning rate of several. */
function OptimizerChoice(props: {
  rates: number[];
  chosen: number | undefined;
  onChoose: (optimizer: number | undefined) => void;
}) {
  if (props.rates.length < 2) return null;
  return (
    <select
      className="input"
      aria-label="Optimizer"
      data-testid="learning-rate-optimizer"
      value={props.chosen ?? ""}
      onChange={({ target }) =>
        props.onChoose(target.value === "" ? undefined : Number(target.value))
      }
    >
      <option value="">All optimizers</option>
      {props.rates.map((rate, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: an optimizer is its index.
        <option key={index} value={index}>
          Optimizer {index + 1}, now {formatSetting(rate)}
        </option>
      ))}
    </select>
  );
}

function problemOf(value: number, mode: "set" | "scale", spec: ControlSpec | undefined): string {
  if (!Number.isFinite(value) || value <= 0) return "A number above 0, such as 0.001 or 1e-4.";
  if (mode === "scale" || spec === undefined) return "";
  if (spec.minimum !== undefined && value < spec.minimum)
    return `At least ${formatSetting(spec.minimum)}.`;
  if (spec.maximum !== undefined && value > spec.maximum)
    return `At most ${formatSetting(spec.maximum)}.`;
  return "";
}

/** A logarithmic slider that only fills in the number: nothing is sent before Apply. */
function RateSlider(props: {
  disabled: boolean;
  spec: ControlSpec | undefined;
  base: number | undefined;
  draft: string;
  onChange: (text: string) => void;
}) {
  const { spec, base } = props;
  const low = spec?.minimum && spec.minimum > 0 ? spec.minimum : (base || 1e-3) / SPAN;
  const high = spec?.maximum && spec.maximum > low ? spec.maximum : (base || 1e-3) * SPAN;
  const current = Number(props.draft) > 0 ? Number(props.draft) : base || low;
  const position = (Math.log(current / low) / Math.log(high / low)) * SLIDER_STEPS;
  return (
    <input
      type="range"
      className="slider"
      disabled={props.disabled}
      min={0}
      max={SLIDER_STEPS}
      value={Math.min(SLIDER_STEPS, Math.max(0, position))}
      aria-label="Learning rate, logarithmic"
      aria-valuetext={formatSetting(current)}
      onChange={(event) => {
        const value = low * (high / low) ** (Number(event.target.value) / SLIDER_STEPS);
        props.onChange(String(Number(value.toPrecision(3))));
      }}
    />
  );
}
