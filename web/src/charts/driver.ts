import { preferences } from "../runtime/preferences";
import type { Run } from "../runtime/run";
import { type AxisMap, epochAxis, stepAxis, timeAxis } from "../store/axis";
import type { Row } from "../store/columns";
import { markersOf } from "../store/commands";
import { formatCount, formatValue } from "../store/format";
import { LOSS } from "../store/metrics";
import { observeVisible } from "../ui/hooks";
import type { ChartData } from "./data";
import { ChartInstance, type ChartState } from "./instance";
import { readChartPalette } from "./look";

/** A chart is drawn anew at most so often, in ms. */
const DRAW_EVERY_MS = 100;
const DOUBLE_CLICK_MS = 500;

/** What a chart shows; asked for at each drawing. */
export interface ChartSource {
  data(axis: AxisMap, range: { firstStep: number; lastStep: number }, buckets: number): ChartData;
  logarithmic(): boolean;
  /** The series it shows, where it is one: finer rows are fetched of what is on screen. */
  series?: string;
  /** What is known at a step. */
  at?(step: number): Row | undefined;
}

/** Draws one chart: at most ten times a second, on a screen refresh, and only while it is seen. */
export class ChartDriver {
  private readonly instance: ChartInstance;
  private axis: AxisMap = stepAxis;
  private visible = false;
  private frame = 0;
  private drawnMs = 0;
  private drawnVersion = -1;
  private stale = true;
  private timer: ReturnType<typeof setInterval>;
  private readonly undo: (() => void)[] = [];
  private last: ChartState | undefined;
  private unlook: (() => void) | undefined;
  /** The index under the pointer. */
  private pointed: number | undefined;
  private momentBefore: number | undefined;
  private pressedMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly element: HTMLElement,
    private readonly run: Run,
    private readonly source: ChartSource,
    private readonly onReadout: (words: string) => void,
  ) {
    this.instance = new ChartInstance(
      element,
      {
        onSelect: (from, to) => run.history.zoomTo(this.axis.toStep(from), this.axis.toStep(to)),
        onCursor: (index) => {
          this.pointed = index;
          this.read();
        },
        onScrubStart: () => this.rememberMoment(),
        onScrub: (x) => run.scrubber.goTo(this.axis.toStep(x)),
        onZoom: (x, factor) => run.history.zoomAbout(this.axis.toStep(x), factor),
        dragZooms: () => preferences.get().dragZooms,
        onReset: () => {
          this.restoreMoment();
          run.history.setZoom(undefined);
        },
      },
      readChartPalette(),
    );
    this.listen();
    this.timer = setInterval(() => this.consider(), DRAW_EVERY_MS);
  }

  /** Draw anew when there is time: something other than the scalars has changed. */
  readonly invalidate = (): void => {
    this.stale = true;
    this.consider();
  };

  /** Read the theme anew. */
  readonly refreshTheme = (): void => {
    this.instance.setPalette(readChartPalette());
    this.invalidate();
  };

  close(): void {
    clearInterval(this.timer);
    cancelAnimationFrame(this.frame);
    for (const undo of this.undo.splice(0)) undo();
    this.unlook?.();
    this.instance.close();
  }

  private listen(): void {
    const { run, undo } = this;
    const resize = new ResizeObserver(() => this.see(this.visible));
    resize.observe(this.element);
    undo.push(() => resize.disconnect());
    undo.push(observeVisible(this.element, (visible) => this.see(visible)));
    undo.push(run.history.zoom.subscribe(this.invalidate));
    undo.push(run.scrubber.moment.subscribe(() => this.showMoment()));
    undo.push(run.view.subscribe(this.invalidate));
    undo.push(preferences.subscribe(this.invalidate));
    window.addEventListener("trainmon:theme", this.refreshTheme);
    undo.push(() => window.removeEventListener("trainmon:theme", this.refreshTheme));
  }

  private see(visible: boolean): void {
    this.visible = visible;
    this.unlook?.();
    const { series } = this.source;
    const looks = visible && series !== undefined;
    this.unlook = looks ? this.run.history.look(series, this.element.clientWidth) : undefined;
    this.invalidate();
  }

  /** A double click shows the whole run: the moment its first click chose was not meant. */
  private rememberMoment(): void {
    const now = performance.now();
    if (now - this.pressedMs > DOUBLE_CLICK_MS) {
      this.momentBefore = this.run.scrubber.moment.get()?.step;
    }
    this.pressedMs = now;
  }

  private restoreMoment(): void {
    // Beside the curve nothing was chosen.
    if (performance.now() - this.pressedMs > 2 * DOUBLE_CLICK_MS) return;
    if (this.momentBefore === undefined) this.run.scrubber.live();
    else this.run.scrubber.goTo(this.momentBefore);
  }

  /** Stand where the moment is, at once: the chart itself is not drawn anew. */
  private showMoment(): void {
    // What is out of sight is brought up to date when it is drawn.
    if (!this.visible) return;
    const moment = this.run.scrubber.moment.get();
    const xOf = (step: number) => this.axis.toX(step, this.timeOf(step));
    this.instance.setMoment(
      moment && {
        x: xOf(moment.step),
        frameX: moment.frame && xOf(moment.frame.globalStep),
        y: this.source.at?.(moment.step)?.value,
      },
    );
    this.read();
  }

  /** When a step was, by the loss: ms since the epoch. */
  private timeOf(step: number): number {
    const times = this.run.metrics.newest(LOSS)?.columns;
    return times?.times[Math.min(times.length - 1, times.lowerBound(step))] ?? 0;
  }

  private consider(): void {
    const fresh = this.stale || this.drawnVersion !== this.run.metrics.version;
    // What is out of sight is drawn once, so that scrolling to it shows no empty frame.
    const unseen = !this.visible && (this.last?.data.x.length ?? 0) > 0;
    if (!fresh || unseen || this.frame !== 0) return;
    if (performance.now() - this.drawnMs < DRAW_EVERY_MS - 20) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  private draw(): void {
    this.stale = false;
    this.drawnMs = performance.now();
    this.drawnVersion = this.run.metrics.version;
    const { run } = this;
    const view = run.view.get();
    this.axis = this.chooseAxis();
    const range = this.run.history.range();
    const buckets = Math.max(60, Math.min(1_500, this.element.clientWidth));
    const data = this.source.data(this.axis, range, buckets);
    const markers = markersOf(view.commands, view.registration?.controls ?? []).map((marker) => ({
      ...marker,
      x: this.axis.toX(marker.step, this.timeOf(marker.step)),
    }));
    this.last = {
      data,
      kind: this.axis.kind,
      logarithmic: this.source.logarithmic(),
      range: this.xRange(range, data),
      markers,
    };
    this.instance.draw(this.last);
    this.showMoment();
  }

  private chooseAxis(): AxisMap {
    const view = this.run.view.get();
    const { axis } = preferences.get();
    if (axis === "epoch") {
      return epochAxis(
        view.epochs,
        view.summary?.batchesPerEpoch ?? view.registration?.batchesPerEpoch,
      );
    }
    if (axis === "step") return stepAxis;
    return timeAxis(this.run.metrics.newest(LOSS)?.columns, view.summary?.startedMs ?? 0);
  }

  private xRange(
    range: { firstStep: number; lastStep: number },
    data: ChartData,
  ): [number, number] {
    const zoomed = this.run.history.zoom.get() !== undefined;
    const from = this.axis.toX(range.firstStep, this.timeOf(range.firstStep));
    const to = this.axis.toX(range.lastStep, this.timeOf(range.lastStep));
    // A resumed run begins at its own first step, and the last epoch may end beyond the last loss.
    const low = zoomed ? from : this.firstX(data.x[0] ?? from);
    const high = zoomed ? to : Math.max(to, data.x[data.x.length - 1] ?? to);
    return high > low ? [low, high] : [low, low + 1];
  }

  private firstX(otherwise: number): number {
    const columns = this.run.metrics.newest(LOSS)?.columns;
    if (columns === undefined || columns.length === 0) return otherwise;
    return this.axis.toX(columns.steps[0] ?? 0, columns.times[0] ?? 0);
  }

  /** What is under the pointer, else what was at the moment that is looked at. */
  private read(): void {
    const { last, pointed } = this;
    const moment = this.run.scrubber.moment.get();
    const words = moment && momentWords(moment.step, this.source);
    const spoken = moment && [`step ${moment.step}`, words].filter(Boolean).join(", ");
    this.element.setAttribute("aria-valuenow", String(moment?.step ?? this.run.newestStep()));
    this.element.setAttribute("aria-valuemax", String(this.run.newestStep()));
    this.element.setAttribute("aria-valuetext", spoken ?? "live");
    this.onReadout(last && pointed !== undefined ? readoutWords(last, pointed) : (words ?? ""));
  }
}

/** What was at a moment, in few words: they lie over the curve, and the bar tells the step. */
function momentWords(step: number, source: ChartSource): string {
  const row = source.at?.(step);
  if (row === undefined) return "";
  const value = formatValue(row.value);
  return row.count > 1 ? `${value}, mean of ${formatCount(row.count)}` : value;
}

function readoutWords(state: ChartState, index: number): string {
  const x = state.data.x[index];
  if (x === undefined) return "";
  const words = state.data.lines.flatMap((line) => {
    const value = line.values[index];
    if (line.kind === "edge" || value === undefined || value === null) return [];
    return [`${line.label} ${Number(value.toPrecision(4))}`];
  });
  const where =
    state.kind === "time" ? `${x.toFixed(1)} s` : `${state.kind} ${Number(x.toFixed(2))}`;
  const near = state.markers.find(
    (marker) => Math.abs(marker.x - x) <= (state.range[1] - state.range[0]) / 150,
  );
  return [where, ...words, ...(near ? [near.words] : [])].join(" · ");
}
