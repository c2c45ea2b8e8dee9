import type uPlot from "uplot";

/** The moment that is looked at, on the axes of a chart. */
export interface PlacedMoment {
  x: number;
  /** Where the picture on the wall is from; undefined while there is none. */
  frameX: number | undefined;
  /** The value at the moment; undefined where there is none. */
  y: number | undefined;
}

/** A line at the moment that is looked at: moved by itself, so that a drag redraws no chart. */
export class TimeCursor {
  private readonly line = part("chart-moment");
  private readonly dot = part("chart-moment-dot");
  private readonly frame = part("chart-moment-frame");

  /** Lie over a plot. */
  attach(plot: uPlot): void {
    plot.over.append(this.frame, this.line, this.dot);
  }

  /** Stand at a moment, or away with it. */
  place(plot: uPlot, moment: PlacedMoment | undefined): void {
    const { clientWidth: width, clientHeight: height } = plot.over;
    const left = moment === undefined ? -1 : plot.valToPos(moment.x, "x");
    move(this.line, left, 0, left >= 0 && left <= width);
    const top = moment?.y === undefined ? -1 : plot.valToPos(moment.y, "y");
    move(this.dot, left, top, left >= 0 && left <= width && top >= 0 && top <= height);
    const frame = moment?.frameX === undefined ? -1 : plot.valToPos(moment.frameX, "x");
    move(this.frame, frame, 0, frame >= 0 && frame <= width);
  }
}

function part(name: string): HTMLElement {
  const element = document.createElement("div");
  element.className = name;
  element.hidden = true;
  return element;
}

function move(element: HTMLElement, left: number, top: number, visible: boolean): void {
  element.hidden = !visible;
  if (visible) element.style.transform = `translate(${left}px, ${top}px)`;
}
