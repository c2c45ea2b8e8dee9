import { type MouseEvent, useSyncExternalStore } from "react";

/** A static export has no dynamic routes: a session is `/?session=ID`. */
const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener("popstate", listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("popstate", listener);
  };
}

/** The session in the address; empty for the list, undefined before the page is alive. */
export function useSessionId(): string | undefined {
  return useSyncExternalStore<string | undefined>(
    subscribe,
    () => new URLSearchParams(location.search).get("session") ?? "",
    () => undefined,
  );
}

/** The address of a session, or of a moment of it; of the list without one. */
export function hrefOf(sessionId: string, step?: number): string {
  if (sessionId === "") return "/";
  const moment = step === undefined ? "" : `&step=${step}`;
  return `/?session=${encodeURIComponent(sessionId)}${moment}`;
}

/** The step in the address; undefined where there is none that can be meant. */
export function stepInAddress(): number | undefined {
  const text = new URLSearchParams(location.search).get("step") ?? "";
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Put a moment into the address, so that it can be shared; no entry is added to the history. */
export function showStepInAddress(sessionId: string, step: number | undefined): void {
  history.replaceState(null, "", hrefOf(sessionId, step));
}

/** Follow a link without loading the page anew; clicks with a modifier are the browser's. */
export function followLink(event: MouseEvent<HTMLAnchorElement>): void {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  goTo(event.currentTarget.href);
}

/** Show another part of the page. */
export function goTo(href: string): void {
  history.pushState(null, "", href);
  window.scrollTo(0, 0);
  for (const listener of listeners) listener();
}
