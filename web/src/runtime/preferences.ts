import type { AxisKind } from "../store/axis";
import { Store } from "../store/external";
import { OVERLAYS, type Overlay } from "../store/tiles";

export type Theme = "system" | "dark" | "light";

/** What this browser remembers of a person's choices. */
export interface Preferences {
  theme: Theme;
  /** Pictures per second asked for, 1 to 60. */
  rate: number;
  sortByLoss: boolean;
  wrongOnly: boolean;
  /** Which masks and boxes lie over the pictures. */
  overlay: Overlay;
  axis: AxisKind;
  logarithmic: boolean;
  /** Whether dragging on a chart zooms; else it chooses a moment, and zooms with shift. */
  dragZooms: boolean;
  /** How much of the past smoothing keeps, 0 to 0.99. */
  smoothing: number;
}

const DEFAULTS: Preferences = {
  theme: "system",
  rate: 60,
  sortByLoss: false,
  wrongOnly: false,
  overlay: "both",
  axis: "step",
  logarithmic: false,
  dragZooms: false,
  smoothing: 0.9,
};

const KEY = "trainmon.preferences";

/** The preferences, kept in this browser where it allows that. */
export const preferences = new Store<Preferences>(DEFAULTS, 0);

/** Read what was kept; called once a page is alive, never while it is exported. */
export function loadPreferences(): void {
  preferences.set(merge(readKept()), true);
}

/** Change some and keep them. */
export function setPreferences(change: Partial<Preferences>): void {
  const next = merge({ ...preferences.get(), ...change });
  preferences.set(next, true);
  try {
    localStorage.setItem(KEY, JSON.stringify(next));
  } catch {
    // A browser that keeps nothing still works; it only forgets.
  }
}

function readKept(): unknown {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    return {};
  }
}

/** What was kept may be of an older page: every value is checked. */
export function merge(kept: unknown): Preferences {
  const given = (typeof kept === "object" && kept !== null ? kept : {}) as Partial<Preferences>;
  const { theme, axis } = given;
  return {
    theme: theme === "dark" || theme === "light" ? theme : "system",
    rate: within(given.rate, 1, 60, DEFAULTS.rate),
    sortByLoss: given.sortByLoss === true,
    wrongOnly: given.wrongOnly === true,
    overlay: OVERLAYS.find((one) => one === given.overlay) ?? DEFAULTS.overlay,
    axis: axis === "epoch" || axis === "time" ? axis : "step",
    logarithmic: given.logarithmic === true,
    dragZooms: given.dragZooms === true,
    smoothing: within(given.smoothing, 0, 0.999, DEFAULTS.smoothing),
  };
}

function within(value: unknown, low: number, high: number, otherwise: number): number {
  const usable = typeof value === "number" && value >= low && value <= high;
  return usable ? value : otherwise;
}
