"use client";
import "uplot/dist/uPlot.min.css";
import { type KeyboardEvent, useEffect, useRef } from "react";
import type { Run } from "../runtime/run";
import { useRun } from "../ui/hooks";
import { ChartDriver, type ChartSource } from "./driver";

/** A chart that follows the run. Dragging, clicking and arrows look back; shift and dragging zooms. */
export function Chart(props: {
  label: string;
  source: ChartSource;
  className?: string;
  testId?: string;
}) {
  const { source } = props;
  const run = useRun();
  const holder = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLOutputElement>(null);

  useEffect(() => {
    if (holder.current === null) return;
    // Written past React: it follows the pointer.
    const tell = (words: string) => readout.current?.replaceChildren(words);
    const made = new ChartDriver(holder.current, run, source, tell);
    return () => made.close();
  }, [run, source]);

  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !actOn(event, run)) return;
    event.preventDefault();
    // What was done here is not done again by the page's own keys.
    event.stopPropagation();
  };

  return (
    <div className={`chart ${props.className ?? ""}`} data-testid={props.testId}>
      <div
        ref={holder}
        className="chart-canvas"
        role="slider"
        aria-label={`${props.label}: step shown`}
        // The driver keeps these three true; they are written here for their names only.
        aria-valuemin={0}
        aria-valuemax={0}
        aria-valuenow={0}
        aria-description="Arrows look back, Escape is live, plus and minus zoom, comma and full stop move, zero shows the whole run."
        tabIndex={0}
        onKeyDown={onKey}
      />
      <output ref={readout} className="chart-readout" aria-live="off" />
    </div>
  );
}

function actOn({ key, shiftKey }: KeyboardEvent, run: Run): boolean {
  const { history } = run;
  if (actOnMoment(key, shiftKey, run)) return true;
  if (key === "0" || key === "Escape") history.setZoom(undefined);
  else if (key === "+" || key === "=") run.zoom(0.5);
  else if (key === "-") run.zoom(2);
  else if (key === "," || key === ".") history.adjust(1, key === "," ? -0.2 : 0.2);
  else return false;
  return true;
}

/** The keys that look back; false where the key is none of them. */
export function actOnMoment(key: string, far: boolean, run: Run): boolean {
  const looking = run.scrubber.moment.get() !== undefined;
  if (key === "ArrowLeft") run.nudge(-1, far);
  else if (key === "ArrowRight") run.nudge(1, far);
  else if (key === "Home") run.lookAt(0);
  else if (key === "End") run.lookAt(run.newestStep());
  else if (looking && (key === "Escape" || key.toLowerCase() === "l")) run.scrubber.live();
  else return false;
  return true;
}
