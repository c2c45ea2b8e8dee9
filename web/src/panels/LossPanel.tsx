import { useMemo } from "react";
import { Chart } from "../charts/Chart";
import { seriesData } from "../charts/data";
import type { ChartSource } from "../charts/driver";
import type { HistoryState } from "../runtime/history";
import { preferences, setPreferences } from "../runtime/preferences";
import type { AxisKind } from "../store/axis";
import { LOSS } from "../store/metrics";
import { usePreferences, useRun, useStore } from "../ui/hooks";
import { LineIcon } from "../ui/icons";
import { Nothing, Panel, Toggle } from "../ui/parts";
import { ZoomButtons } from "./ZoomButtons";

/** The loss of every batch: its band of extremes, its smoothed line, and what was commanded. */
export function LossPanel() {
  const run = useRun();
  const history = useStore(run.history.state);
  const source = useMemo<ChartSource>(
    () => ({
      data: (axis, range, buckets) => {
        const { smoothing } = preferences.get();
        return seriesData(run.metrics, LOSS, { ...range, axis, buckets, smoothing, hue: 0 });
      },
      logarithmic: () => preferences.get().logarithmic,
      series: LOSS,
      at: (step) => run.metrics.rowAt(LOSS, step),
    }),
    [run],
  );
  const known = run.metrics.newest(LOSS) !== undefined;
  return (
    <Panel title="Loss per batch" className="loss-panel" aside={<LossTools />}>
      <Chart label="Loss per batch" source={source} testId="loss-chart" />
      {!known && <Nothing>{EMPTY_WORDS[history]}</Nothing>}
      {known && history === "failed" && <Nothing>{EMPTY_WORDS.failed}</Nothing>}
    </Panel>
  );
}

const EMPTY_WORDS: Record<HistoryState, string> = {
  loading: "Fetching what was measured so far…",
  ready: "No loss has been measured yet.",
  failed:
    "What was measured before could not be fetched; the page asks again when its link is back.",
};

const AXES: { kind: AxisKind; word: string }[] = [
  { kind: "step", word: "Step" },
  { kind: "epoch", word: "Epoch" },
  { kind: "time", word: "Time" },
];

/** A way into the past for those who try no click on a curve. */
function LookBack() {
  const run = useRun();
  const looking = useStore(run.scrubber.shown) !== undefined;
  return (
    <Toggle
      pressed={looking}
      onPress={(pressed) => (pressed ? run.nudge(-1, true) : run.scrubber.live())}
      title="Show a moment of the past; clicking or dragging on a curve chooses it"
      testId="look-back"
    >
      <LineIcon name="past" />
      Look back
    </Toggle>
  );
}

function LossTools() {
  const { axis, logarithmic, smoothing } = usePreferences();
  return (
    <div className="tools">
      <ZoomButtons />
      <LookBack />
      <label className="rate" title="How much of the past the smoothed line keeps">
        <span>Smooth</span>
        <input
          type="range"
          min={0}
          max={0.99}
          step={0.01}
          value={smoothing}
          aria-label="Smoothing"
          onChange={(event) => setPreferences({ smoothing: Number(event.target.value) })}
        />
        <output>{smoothing === 0 ? "off" : smoothing.toFixed(2)}</output>
      </label>
      <Toggle
        pressed={logarithmic}
        onPress={(pressed) => setPreferences({ logarithmic: pressed })}
        title="Logarithmic axis (g)"
        testId="log-axis"
      >
        Log
      </Toggle>
      <fieldset className="segments" aria-label="Horizontal axis">
        {AXES.map(({ kind, word }) => (
          <button
            key={kind}
            type="button"
            aria-pressed={axis === kind}
            onClick={() => setPreferences({ axis: kind })}
          >
            {word}
          </button>
        ))}
      </fieldset>
    </div>
  );
}
