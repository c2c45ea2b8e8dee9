import { useEffect, useMemo, useState } from "react";
import { Chart } from "../charts/Chart";
import { seriesData } from "../charts/data";
import type { ChartSource } from "../charts/driver";
import { preferences } from "../runtime/preferences";
import { formatSetting, formatValue } from "../store/format";
import { LEARNING_RATE, LOSS } from "../store/metrics";
import { useRun, useStore } from "../ui/hooks";
import { Nothing, Panel } from "../ui/parts";

/** Charts shown before someone asks for more. */
const FIRST = 8;

/** The learning rate and every other scalar, one chart each. */
export function MetricCharts() {
  const names = useSeriesNames().filter((name) => name !== LOSS && name !== LEARNING_RATE);
  const [all, setAll] = useState(false);
  const shown = all ? names : names.slice(0, FIRST);
  return (
    <>
      <SeriesChart name={LEARNING_RATE} title="Learning rate" hue={3} smooth={false} />
      {shown.map((name) => (
        <SeriesChart key={name} name={name} title={name} hue={2} smooth />
      ))}
      {shown.length < names.length && (
        <button type="button" className="button" onClick={() => setAll(true)}>
          Show {names.length - shown.length} more metrics
        </button>
      )}
    </>
  );
}

/** The names of the series, looked up at the pace of the gauges. */
function useSeriesNames(): string[] {
  const run = useRun();
  useStore(run.gauges);
  const [names, setNames] = useState<string[]>([]);
  const now = run.metrics.names();
  const changed = now.join("\n") !== names.join("\n");
  useEffect(() => {
    if (changed) setNames(run.metrics.names());
  }, [changed, run]);
  return names;
}

function SeriesChart(props: { name: string; title: string; hue: number; smooth: boolean }) {
  const { name, hue, smooth } = props;
  const run = useRun();
  useStore(run.gauges);
  const source = useMemo<ChartSource>(
    () => ({
      data: (axis, range, buckets) => {
        const smoothing = smooth ? preferences.get().smoothing : 0;
        return seriesData(run.metrics, name, { ...range, axis, buckets, smoothing, hue });
      },
      logarithmic: () => false,
      series: name,
      at: (step) => run.metrics.rowAt(name, step),
    }),
    [run, name, hue, smooth],
  );
  const value = run.metrics.lastValue(name);
  const words = smooth ? formatValue(value) : formatSetting(value);
  return (
    <Panel
      title={props.title}
      className="small-chart"
      aside={<b className="panel-value">{words}</b>}
    >
      {value === undefined ? (
        <Nothing>Not measured.</Nothing>
      ) : (
        <Chart label={props.title} source={source} />
      )}
    </Panel>
  );
}
