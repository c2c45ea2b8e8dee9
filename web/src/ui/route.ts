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

export function hrefOf(sessionId: string): string {
  return sessionId === "" ? "/" : `/?session=${encodeURIComponent(sessionId)}`;
}

/** Follow a link without loading the page anew; clicks with a modifier are the browser's. */
export function followLink(event: MouseEvent<HTMLAnchorElement>): void {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  history.pushState(null, "", event.currentTarget.href);
  window.scrollTo(0, 0);
  for (const listener of listeners) listener();
}
