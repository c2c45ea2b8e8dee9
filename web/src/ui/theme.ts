import { preferences, type Theme } from "../runtime/preferences";

const LIGHT = "(prefers-color-scheme: light)";

/** Keep the page in the theme that is chosen, or in the system's; returns the undoing. */
export function followTheme(): () => void {
  const media = window.matchMedia(LIGHT);
  const apply = () => {
    const { theme } = preferences.get();
    const name = theme === "system" ? (media.matches ? "light" : "dark") : theme;
    if (document.documentElement.dataset.theme === name) return;
    document.documentElement.dataset.theme = name;
    window.dispatchEvent(new Event("trainmon:theme"));
  };
  apply();
  media.addEventListener("change", apply);
  const undo = preferences.subscribe(apply);
  return () => {
    undo();
    media.removeEventListener("change", apply);
  };
}

/** The theme after this one, as the button walks through them. */
export function nextTheme(theme: Theme): Theme {
  if (theme === "system") return window.matchMedia(LIGHT).matches ? "dark" : "light";
  return theme === "dark" ? "light" : "dark";
}
