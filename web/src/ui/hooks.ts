import { createContext, useContext, useEffect, useRef, useSyncExternalStore } from "react";
import { type Preferences, preferences } from "../runtime/preferences";
import type { Run } from "../runtime/run";
import type { Store } from "../store/external";
import type { SessionView } from "../store/session";

/** The newest value of a store, re-rendering at the store's own pace. */
export function useStore<T>(store: Store<T>): T {
  return useSyncExternalStore(store.subscribe, store.snapshot, store.snapshot);
}

export function usePreferences(): Preferences {
  return useStore(preferences);
}

export const RunContext = createContext<Run | undefined>(undefined);

/** The session on screen. Only below a RunContext. */
export function useRun(): Run {
  const run = useContext(RunContext);
  if (run === undefined) throw new Error("useRun is called outside a RunContext");
  return run;
}

export function useView(): SessionView {
  return useStore(useRun().view);
}

/** Call a function with each key pressed outside of inputs, without modifiers. */
export function useKeys(onKey: (key: string, event: KeyboardEvent) => void): void {
  const latest = useRef(onKey);
  useEffect(() => {
    latest.current = onKey;
  });
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      // A key that is held down was pressed once.
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      if (event.defaultPrevented) return;
      if (isTyping(event)) return;
      latest.current(event.key, event);
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, []);
}

/** Keys belong to whoever has the focus: text to inputs, digits to sliders, enter to buttons. */
function isTyping(event: KeyboardEvent): boolean {
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  if (target.closest("dialog[open]")) return true;
  if (target.closest("input[type=range]")) return /^[0-9]$/.test(event.key);
  if (target.closest("input, select, textarea, [contenteditable]")) return true;
  const pressing = event.key === " " || event.key === "Enter";
  return pressing && target.closest("button, a, summary") !== null;
}

/** Whether something is on screen right now, told by a callback. */
export function observeVisible(element: Element, tell: (visible: boolean) => void): () => void {
  const observer = new IntersectionObserver((entries) => {
    tell(entries.some((entry) => entry.isIntersecting));
  });
  observer.observe(element);
  return () => observer.disconnect();
}
