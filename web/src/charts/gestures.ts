/** A finger that moves so far sideways scrubs, in px; less is a tap, and up or down it scrolls. */
const SIDEWAYS_PX = 6;
/** One notch of a wheel. */
const WHEEL_FACTOR = 1.25;

type PointerType = "pointerdown" | "pointermove" | "pointerup" | "pointercancel";

export interface Gestures {
  /** The part that is drawn on; it is made anew when a chart's lines change, even during a drag. */
  area(): HTMLElement | undefined;
  /** Whether this press begins a zoom, which is not handled here. */
  zooms(event: PointerEvent): boolean;
  /** A press begins to scrub. */
  onStart(): void;
  /** The moment is at this place, in px from the left of the area. */
  onScrub(left: number): void;
  /** The wheel was turned with control held, or two fingers were spread on a pad. */
  onWheel(left: number, factor: number): void;
  onDoubleClick(): void;
}

/**
 * Click or drag chooses a moment; control and wheel zoom about the pointer.
 *
 * @param element holds the area, and outlives it.
 * @param signal ends the listening.
 */
export function listenToGestures(
  element: HTMLElement,
  gestures: Gestures,
  signal: AbortSignal,
): void {
  const within = ({ target }: Event) =>
    target instanceof Node && gestures.area()?.contains(target) === true;
  const leftOf = (event: MouseEvent) =>
    event.clientX - (gestures.area()?.getBoundingClientRect().left ?? 0);
  const listen = (type: PointerType, listener: (event: PointerEvent) => void) =>
    element.addEventListener(type, listener, { signal });
  let touched: number | undefined;
  let scrubbing = false;
  const begin = (event: PointerEvent) => {
    scrubbing = true;
    touched = undefined;
    element.setPointerCapture(event.pointerId);
    gestures.onStart();
    gestures.onScrub(leftOf(event));
  };
  listen("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary || !within(event)) return;
    if (gestures.zooms(event)) return;
    if (event.pointerType === "touch") touched = event.clientX;
    else begin(event);
  });
  listen("pointermove", (event) => {
    if (scrubbing) gestures.onScrub(leftOf(event));
    else if (touched !== undefined && Math.abs(event.clientX - touched) > SIDEWAYS_PX) begin(event);
  });
  listen("pointerup", (event) => {
    if (touched !== undefined) begin(event);
    scrubbing = false;
  });
  listen("pointercancel", () => {
    scrubbing = false;
    touched = undefined;
  });
  const onWheel = (event: WheelEvent) => {
    // Without control the wheel scrolls the page, as it does everywhere.
    if (!(event.ctrlKey || event.metaKey) || event.deltaY === 0 || !within(event)) return;
    event.preventDefault();
    gestures.onWheel(leftOf(event), event.deltaY < 0 ? 1 / WHEEL_FACTOR : WHEEL_FACTOR);
  };
  // A press that was captured ends on the element itself.
  element.addEventListener("dblclick", () => gestures.onDoubleClick(), { signal });
  element.addEventListener("wheel", onWheel, { passive: false, signal });
}
