import { useMemo } from "react";
import { Chart } from "../charts/Chart";
import { epochData } from "../charts/data";
import type { ChartSource } from "../charts/driver";
import type { EpochData } from "../rpc/plain";
import type { Run } from "../runtime/run";
import { useRun, useView } from "../ui/hooks";
import { Nothing, Panel } from "../ui/parts";
import { Legend } from "./Legend";

interface Field {
  label: string;
  hue: number;
  read: (epoch: EpochData) => number | undefined;
}

const LOSSES: Field[] = [
  { label: "training", hue: 0, read: (epoch) => epoch.averageLoss },
  { label: "validation", hue: 1, read: (epoch) => epoch.validationLoss },
];

const ACCURACIES: Field[] = [
  { label: "training", hue: 0, read: (epoch) => epoch.averageAccuracy },
  { label: "validation", hue: 1, read: (epoch) => epoch.validationAccuracy },
];

/** Metrics per epoch: loss, accuracy, and every other that epochs bring. */
export function EpochCharts() {
  const { epochs } = useView();
  const others = useMemo(() => otherFields(epochs), [epochs]);
  const hasAccuracy = ACCURACIES.some(({ read }) =>
    epochs.some((epoch) => read(epoch) !== undefined),
  );
  return (
    <>
      <EpochChart title="Loss per epoch" fields={LOSSES} />
      {hasAccuracy && <EpochChart title="Accuracy per epoch" fields={ACCURACIES} />}
      {others.length > 0 && <EpochChart title="Other metrics per epoch" fields={others} />}
    </>
  );
}

/** At most six share a chart: there are as many colours. */
function otherFields(epochs: EpochData[]): Field[] {
  const names = [...new Set(epochs.flatMap((epoch) => Object.keys(epoch.metrics)))].sort();
  return names.slice(0, 6).map((name, index) => ({
    label: name,
    hue: index,
    read: (epoch) => epoch.metrics[name],
  }));
}

function EpochChart({ title, fields }: { title: string; fields: Field[] }) {
  const run = useRun();
  const { epochs } = useView();
  const source = useMemo(() => sourceOf(run, fields), [run, fields]);
  return (
    <Panel title={title} className="small-chart" aside={<Legend lines={fields} />}>
      {epochs.length === 0 ? (
        <Nothing>The first epoch has not ended yet.</Nothing>
      ) : (
        <Chart label={title} source={source} />
      )}
    </Panel>
  );
}

function sourceOf(run: Run, fields: Field[]): ChartSource {
  return {
    data: (axis) => epochData(run.view.get().epochs, axis, fields),
    logarithmic: () => false,
  };
}
