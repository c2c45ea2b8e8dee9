import uPlot from "uplot";
import type { AxisKind } from "../store/axis";
import type { Marker } from "../store/commands";
import { formatCount, formatSetting, formatSpan } from "../store/format";
import { type PlacedMoment, TimeCursor } from "./cursor";
import { type ChartData, type Line, positiveOnly } from "./data";
import { listenToGestures } from "./gestures";
import { type ChartPalette, faded, hueOf, MARKER_LETTER, strokeOf } from "./look";

/** A marker with its place on the x axis. */
export interface PlacedMarker extends Marker {
  x: number;
}

/** Everything one drawing of a chart needs. */
export interface ChartState {
  data: ChartData;
  kind: AxisKind;
  logarithmic: boolean;
  /** Range of x on screen. */
  range: [number, number];
  markers: PlacedMarker[];
}

export interface ChartCallbacks {
  /** A range of x was dragged over. */
  onSelect(from: number, to: number): void;
  /** The cursor is over this index of the data; undefined when it left. */
  onCursor(index: number | undefined): void;
  /** The whole run is asked for. */
  onReset(): void;
  /** A press begins to choose a moment. */
  onScrubStart(): void;
  /** A moment is chosen at this x. */
  onScrub(x: number): void;
  /** Zoom about an x; a factor below 1 is closer. */
  onZoom(x: number, factor: number): void;
  /** Whether dragging zooms rather than chooses a moment. */
  dragZooms(): boolean;
}

/** A uPlot that is rebuilt only when its lines, scale or theme change, else given new data. */
export class ChartInstance {
  private plot: uPlot | undefined;
  private shape = "";
  private state: ChartState | undefined;
  private moment: PlacedMoment | undefined;
  private readonly timeCursor = new TimeCursor();
  private readonly ended = new AbortController();

  constructor(
    private readonly element: HTMLElement,
    private readonly callbacks: ChartCallbacks,
    private palette: ChartPalette,
  ) {
    const gestures = {
      area: () => this.plot?.over,
      zooms: (event: MouseEvent) => this.zooms(event),
      onStart: () => callbacks.onScrubStart(),
      onScrub: (left: number) => this.whenPlotted((plot) => callbacks.onScrub(xAt(plot, left))),
      onDoubleClick: () => callbacks.onReset(),
      onWheel: (left: number, factor: number) =>
        this.whenPlotted((plot) => callbacks.onZoom(xAt(plot, left), factor)),
    };
    listenToGestures(element, gestures, this.ended.signal);
  }

  setPalette(palette: ChartPalette): void {
    this.palette = palette;
    this.shape = "";
  }

  /** Stand at a moment; undefined: at none. Draws nothing anew. */
  setMoment(moment: PlacedMoment | undefined): void {
    this.moment = moment;
    if (this.plot !== undefined) this.timeCursor.place(this.plot, moment);
  }

  /** Draw. */
  draw(state: ChartState): void {
    this.state = state;
    const shape = shapeOf(state);
    if (shape !== this.shape || this.plot === undefined) this.build(shape, state);
    const { plot } = this;
    if (plot === undefined) return;
    const { clientWidth: width, clientHeight: height } = this.element;
    if (width === 0 || height === 0) return;
    if (plot.width !== width || plot.height !== height) plot.setSize({ width, height });
    plot.setData(alignedData(state), true);
  }

  /** Let go of the element for good. */
  close(): void {
    this.ended.abort();
    this.destroy();
  }

  private destroy(): void {
    this.plot?.destroy();
    this.plot = undefined;
  }

  private build(shape: string, state: ChartState): void {
    this.destroy();
    this.shape = shape;
    const { clientWidth: width, clientHeight: height } = this.element;
    if (width === 0 || height === 0) return;
    this.plot = new uPlot(this.options(state, width, height), alignedData(state), this.element);
  }

  private options(state: ChartState, width: number, height: number): uPlot.Options {
    const { palette } = this;
    const hasSmooth = state.data.lines.some((line) => line.kind === "smooth");
    return {
      width,
      height,
      // To the right there is room for half of the last number, which may stand at the very edge.
      padding: [10, 24, 0, 0],
      legend: { show: false },
      cursor: {
        points: { size: 7, width: 2 },
        drag: { x: true, y: false, setScale: false },
        sync: { key: `trainmon-${state.kind}`, setSeries: false },
        bind: {
          dblclick: () => () => null,
          mousedown: (_plot, _target, zoom) => (event) => {
            if (this.zooms(event)) zoom(event);
            return null;
          },
        },
      },
      select: { show: true, left: 0, top: 0, width: 0, height: 0 },
      scales: {
        x: { time: false, range: () => this.state?.range ?? [0, 1] },
        y: { distr: state.logarithmic ? 3 : 1, log: 10, range: yRange(state.logarithmic) },
      },
      axes: [xAxis(state.kind, palette), yAxis(palette, state.logarithmic)],
      series: [{}, ...state.data.lines.map((line) => seriesOf(line, palette, hasSmooth))],
      bands: bandsOf(state.data.lines, palette),
      hooks: {
        ready: [(plot) => this.timeCursor.attach(plot)],
        setSelect: [(plot) => this.select(plot)],
        setCursor: [(plot) => this.callbacks.onCursor(plot.cursor.idx ?? undefined)],
        draw: [
          (plot) => {
            this.drawMarks(plot);
            this.timeCursor.place(plot, this.moment);
          },
        ],
      },
    };
  }

  private whenPlotted(act: (plot: uPlot) => void): void {
    if (this.plot !== undefined) act(this.plot);
  }

  private zooms(event: MouseEvent): boolean {
    return event.shiftKey || this.callbacks.dragZooms();
  }

  private select(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width < 4) return;
    const from = plot.posToVal(left, "x");
    const to = plot.posToVal(left + width, "x");
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.callbacks.onSelect(from, to);
  }

  /** Commands as flags, and values that are not finite as crosses along the axis. */
  private drawMarks(plot: uPlot): void {
    const { state, palette } = this;
    if (state === undefined) return;
    const { ctx: context, bbox } = plot;
    const scale = devicePixelRatio;
    context.save();
    context.beginPath();
    context.rect(bbox.left, 0, bbox.width, bbox.top + bbox.height);
    context.clip();
    for (const flag of groupFlags(state.markers, (x) => plot.valToPos(x, "x", true), 15 * scale)) {
      drawFlag(context, bbox, flag, palette, scale);
    }
    context.strokeStyle = palette.bad;
    context.lineWidth = 1.5 * scale;
    const y = bbox.top + bbox.height - 6 * scale;
    for (const broken of state.data.broken.slice(-500)) {
      drawCross(context, plot.valToPos(broken, "x", true), y, 3 * scale);
    }
    context.restore();
  }
}

/** The x at a place, which a drag may take beyond the edges. */
function xAt(plot: uPlot, left: number): number {
  return plot.posToVal(Math.min(plot.over.clientWidth, Math.max(0, left)), "x");
}

/** Rebuild when this changes: the lines, the scale and the axis, but not the data. */
function shapeOf(state: ChartState): string {
  const lines = state.data.lines.map((line) => `${line.kind}/${line.hue}/${line.label}`);
  return [state.kind, state.logarithmic, ...lines].join("|");
}

function alignedData(state: ChartState): uPlot.AlignedData {
  const { x, lines } = state.data;
  const values = lines.map((line) => (state.logarithmic ? positiveOnly(line.values) : line.values));
  return [x, ...values] as uPlot.AlignedData;
}

function seriesOf(line: Line, palette: ChartPalette, hasSmooth: boolean): uPlot.Series {
  const { width, alpha, dash } = strokeOf(line.kind, hasSmooth);
  const colour = hueOf(palette, line.hue);
  const shown = line.kind !== "edge";
  return {
    label: line.label,
    stroke: faded(colour, alpha),
    width,
    dash,
    points: { show: line.kind === "points" ? undefined : false, size: 6, fill: colour },
    ...(shown ? {} : { points: { show: false } }),
  } as uPlot.Series;
}

/** The two edges of a band follow each other: maximum, minimum. */
function bandsOf(lines: Line[], palette: ChartPalette): uPlot.Band[] {
  const at = lines.findIndex((line) => line.kind === "edge");
  const hue = lines[at]?.hue ?? 0;
  if (at < 0) return [];
  return [{ series: [at + 1, at + 2], fill: faded(hueOf(palette, hue), 0.16) }];
}

function yRange(logarithmic: boolean): uPlot.Range.Function {
  return (_plot, low, high) => {
    if (!Number.isFinite(low) || !Number.isFinite(high)) return logarithmic ? [0.1, 1] : [0, 1];
    if (logarithmic) return [low / 1.15, high * 1.15];
    // What differs by rounding alone is constant, and is not blown up to a mountain range.
    const differs = high - low > 1e-9 * Math.max(Math.abs(low), Math.abs(high));
    const margin = differs ? (high - low) * 0.06 : Math.abs(high) * 0.1 || 0.5;
    // A loss rests on zero: the axis does not float just above it.
    return [low >= 0 && low - margin < 0.15 * high ? 0 : low - margin, high + margin];
  };
}

function baseAxis(palette: ChartPalette): uPlot.Axis {
  return {
    stroke: palette.muted,
    font: `11px ${palette.font}`,
    grid: { stroke: palette.grid, width: 1 },
    ticks: { show: false },
    border: { show: false },
  };
}

function xAxis(kind: AxisKind, palette: ChartPalette): uPlot.Axis {
  const words = (value: number) =>
    kind === "time"
      ? formatSpan(value * 1000)
      : kind === "step"
        ? formatCount(value)
        : formatSetting(value);
  return {
    ...baseAxis(palette),
    size: 26,
    gap: 6,
    space: 90,
    values: (_plot, splits) =>
      splits.map((value) => (kind === "step" && value % 1 !== 0 ? "" : words(value))),
  };
}

function yAxis(palette: ChartPalette, logarithmic: boolean): uPlot.Axis {
  return {
    ...baseAxis(palette),
    size: 58,
    gap: 6,
    values: (_plot, splits) => splits.map((value) => yWords(value, logarithmic)),
  };
}

/** Along a logarithmic axis only 1, 2 and 5 of each decade are named. */
function yWords(value: number | null, logarithmic: boolean): string {
  if (value === null || (logarithmic && !/^[125]\.?0*e/.test(value.toExponential(6)))) return "";
  return formatSetting(value);
}

interface Flag {
  /** Where its lines are, in canvas pixels; the first carries the letters. */
  places: number[];
  letters: string;
}

/** Markers too near each other to read share a flag. */
function groupFlags(
  markers: PlacedMarker[],
  placeOf: (x: number) => number,
  nearest: number,
): Flag[] {
  const flags: Flag[] = [];
  const sorted = [...markers].sort((a, b) => a.x - b.x);
  for (const marker of sorted) {
    const place = placeOf(marker.x);
    const letter = marker.kind === undefined ? "?" : MARKER_LETTER[marker.kind];
    const last = flags[flags.length - 1];
    const end = last?.places[last.places.length - 1];
    if (last === undefined || end === undefined || place - end > nearest) {
      flags.push({ places: [place], letters: letter });
    } else {
      last.places.push(place);
      last.letters =
        last.letters.length < 3 ? last.letters + letter : `${last.letters.slice(0, 2)}…`;
    }
  }
  return flags;
}

function drawFlag(
  context: CanvasRenderingContext2D,
  box: uPlot.BBox,
  { places, letters }: Flag,
  palette: ChartPalette,
  scale: number,
): void {
  context.strokeStyle = palette.marker;
  context.lineWidth = scale;
  context.setLineDash([3 * scale, 3 * scale]);
  for (const x of places) {
    context.beginPath();
    context.moveTo(x, box.top);
    context.lineTo(x, box.top + box.height);
    context.stroke();
  }
  context.setLineDash([]);
  const height = 13 * scale;
  const width = (6 + letters.length * 7) * scale;
  const left = Math.min((places[0] ?? 0) - 6.5 * scale, box.left + box.width - width);
  context.fillStyle = palette.marker;
  context.fillRect(left, box.top - 2 * scale, width, height);
  context.fillStyle = palette.panel;
  context.font = `700 ${9.5 * scale}px ${palette.font}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(letters, left + width / 2, box.top - 2 * scale + height / 2 + 0.5 * scale);
}

function drawCross(context: CanvasRenderingContext2D, x: number, y: number, arm: number): void {
  context.beginPath();
  context.moveTo(x - arm, y - arm);
  context.lineTo(x + arm, y + arm);
  context.moveTo(x + arm, y - arm);
  context.lineTo(x - arm, y + arm);
  context.stroke();
}
