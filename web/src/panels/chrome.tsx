import type { ReactNode } from "react";
import { setPreferences } from "../runtime/preferences";
import { usePreferences } from "../ui/hooks";
import { LineIcon } from "../ui/icons";
import { followLink } from "../ui/route";
import { nextTheme } from "../ui/theme";

/** The name of the tool, which leads to the list. */
export function Brand() {
  return (
    <a className="brand" href="/" onClick={followLink} aria-label="trainmon: every session">
      <svg viewBox="0 0 20 20" aria-hidden="true" focusable="false">
        <path d="M2 3h4.500v4.500H2zM7.800 3h4.500v4.500H7.800zM2 8.800h4.500v4.500H2z" />
        <path className="brand-curve" d="M2 17.500c5 0 7-2 9-5.500s3.500-5 7-5" />
      </svg>
      <span>trainmon</span>
    </a>
  );
}

/** The bar of a page without a run: where every session is, what the page has to say, the theme. */
export function TopBar({ children }: { children?: ReactNode }) {
  return (
    <header className="topbar">
      <Brand />
      {children}
      <span className="spacer" />
      <ThemeButton />
    </header>
  );
}

/** Dark or light. */
export function ThemeButton() {
  const { theme } = usePreferences();
  return (
    <button
      type="button"
      className="button icon-only"
      aria-label="Change between dark and light"
      title={`Theme: ${theme} (t)`}
      onClick={() => setPreferences({ theme: nextTheme(theme) })}
    >
      <LineIcon name="half" />
    </button>
  );
}
