"use client";
import "uplot/dist/uPlot.min.css";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { useRun } from "../ui/hooks";
import { ChartDriver, type ChartSource } from "./driver";

/** A chart that follows the run, zoomed by dragging, by buttons or by keys. */
export function Chart(props: {
  label: string;
  source: ChartSource;
  className?: string;
  testId?: string;
}) {
  const { source } = props;
  const run = useRun();
  const holder = useRef<HTMLDivElement>(null);
  const [readout, setReadout] = useState("");

  useEffect(() => {
    if (holder.current === null) return;
    const made = new ChartDriver(holder.current, run, source, setReadout);
    return () => made.close();
  }, [run, source]);

  const onKey = (event: KeyboardEvent) => {
    const step = KEY_STEPS[event.key];
    if (event.key === "Escape" || event.key === "0") run.history.setZoom(undefined);
    else if (step) run.history.adjust(step.factor, step.shift);
    else return;
    event.preventDefault();
  };

  return (
    <div className={`chart ${props.className ?? ""}`} data-testid={props.testId}>
      <div
        ref={holder}
        className="chart-canvas"
        role="img"
        aria-label={`${props.label}. Plus and minus zoom, arrows move, zero shows the whole run.`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the chart zooms and moves by keys.
        tabIndex={0}
        onKeyDown={onKey}
      />
      <output className="chart-readout" aria-live="off">
        {readout}
      </output>
    </div>
  );
}

const KEY_STEPS: Record<string, { factor: number; shift: number }> = {
  "+": { factor: 0.5, shift: 0 },
  "=": { factor: 0.5, shift: 0 },
  "-": { factor: 2, shift: 0 },
  ArrowLeft: { factor: 1, shift: -0.2 },
  ArrowRight: { factor: 1, shift: 0.2 },
};
