"use client";
import "uplot/dist/uPlot.min.css";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { useRun } from "../ui/hooks";
import { LineIcon } from "../ui/icons";
import { ChartDriver, type ChartSource } from "./driver";

/** A chart that follows the run, zoomed by dragging, by buttons or by keys. */
export function Chart(props: {
  label: string;
  source: ChartSource;
  className?: string;
  testId?: string;
  /** Whether the zoom buttons are shown. */
  tools?: boolean;
}) {
  const { source } = props;
  const run = useRun();
  const holder = useRef<HTMLDivElement>(null);
  const driver = useRef<ChartDriver>(undefined);
  const [readout, setReadout] = useState("");

  useEffect(() => {
    if (holder.current === null) return;
    const made = new ChartDriver(holder.current, run, source, setReadout);
    driver.current = made;
    return () => made.close();
  }, [run, source]);

  const onKey = (event: KeyboardEvent) => {
    const step = KEY_STEPS[event.key];
    if (event.key === "Escape" || event.key === "0") run.history.setZoom(undefined);
    else if (step) driver.current?.adjust(step.factor, step.shift);
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
      {props.tools && <ZoomButtons driver={driver} />}
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

function ZoomButtons({ driver }: { driver: React.RefObject<ChartDriver | undefined> }) {
  const run = useRun();
  return (
    <div className="chart-tools">
      <button
        type="button"
        className="button icon-only"
        aria-label="Zoom in"
        onClick={() => driver.current?.adjust(0.5, 0)}
      >
        <LineIcon name="zoomIn" />
      </button>
      <button
        type="button"
        className="button icon-only"
        aria-label="Zoom out"
        onClick={() => driver.current?.adjust(2, 0)}
      >
        <LineIcon name="zoomOut" />
      </button>
      <button
        type="button"
        className="button icon-only"
        aria-label="Show the whole run"
        onClick={() => run.history.setZoom(undefined)}
      >
        <LineIcon name="whole" />
      </button>
    </div>
  );
}
