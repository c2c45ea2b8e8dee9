import type { ReactNode } from "react";
import type { Shape } from "../store/states";

/** Every icon is drawn on a 16 × 16 grid in the colour of the text around it. */
const SHAPES: Record<Shape, ReactNode> = {
  dots: (
    <>
      <circle cx="3.5" cy="8" r="1.5" />
      <circle cx="8" cy="8" r="1.5" />
      <circle cx="12.5" cy="8" r="1.5" />
    </>
  ),
  play: <path d="M4.5 2.8v10.4L13 8z" />,
  pause: <path d="M4 3h3v10H4zM9 3h3v10H9z" />,
  scope: (
    <path
      d="M7 2.5a4.5 4.5 0 1 0 2.7 8.1l3 3M5.2 7.2 6.6 8.6 9 5.8"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.6"
    />
  ),
  stopping: <path d="M3 3h10v10H3zm2 2v6h6V5z" fillRule="evenodd" />,
  check: <path d="m2.8 8.4 3.4 3.5 7-7.6" fill="none" stroke="currentColor" strokeWidth="2.2" />,
  stop: <path d="M3.5 3.5h9v9h-9z" />,
  cross: <path d="m3.5 3.5 9 9m0-9-9 9" fill="none" stroke="currentColor" strokeWidth="2.2" />,
  hourglass: <path d="M4 2h8v2.4L9.2 8l2.8 3.6V14H4v-2.4L6.8 8 4 4.4z" />,
  unlink: (
    <path
      d="M6.5 4.5 8 3a3.5 3.5 0 0 1 5 5l-1.5 1.5M9.500 11.500 8 13a3.5 3.5 0 0 1-5-5l1.500-1.500M2.500 2.500l11 11"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.6"
    />
  ),
  skull: (
    <path
      d="M8 2a5 5 0 0 0-3 9v2.500h6V11a5 5 0 0 0-3-9zM6 6.500a1.200 1.200 0 1 1 0 2.400 1.200 1.200 0 0 1 0-2.400zm4 0a1.200 1.200 0 1 1 0 2.400 1.200 1.200 0 0 1 0-2.400z"
      fillRule="evenodd"
    />
  ),
  unknown: <circle cx="8" cy="8" r="3" fill="none" stroke="currentColor" strokeWidth="1.600" />,
};

/** The shape of a state. Decorative: the word beside it says the same. */
export function ShapeIcon({ shape }: { shape: Shape }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      {SHAPES[shape]}
    </svg>
  );
}

const LINES = {
  back: "M10 3 5 8l5 5",
  snow: "M8 2v12M2.800 5l10.400 6M13.200 5 2.800 11",
  sort: "M3 4h10M3 8h7M3 12h4",
  half: "M8 2a6 6 0 1 0 0 12zM8 2a6 6 0 0 1 0 12",
  help: "M5.800 6a2.300 2.300 0 1 1 3.400 2c-.8.500-1.200.900-1.200 1.800M8 12.300v.2",
  zoomIn: "M7 2.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9zM10.300 10.300 14 14M5 7h4M7 5v4",
  zoomOut: "M7 2.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9zM10.300 10.300 14 14M5 7h4",
  range: "M3 2.500v11M13 2.500v11M5.500 8h5M7 6 5 8l2 2M9 6l2 2-2 2",
  forward: "m6 3 5 5-5 5",
  past: "M2.600 6.500a5.600 5.600 0 1 1-.200 2.700M2.300 3v3.600h3.600M8 5v3.300l2.200 1.400",
  trash:
    "M3 4.500h10M6 4.500V3h4v1.500M4.500 4.500l.600 8.500h5.800l.600-8.500M6.800 7v3.500M9.200 7v3.500",
  close: "m4 4 8 8m0-8-8 8",
  search: "M7 2.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9zM10.300 10.300 14 14",
  warning: "M8 2.500 14.500 13.500h-13zM8 6.500v3.500M8 11.800v.2",
  save: "M8 2.500v7.500M5 7l3 3 3-3M3 13h10",
} as const;

export type LineName = keyof typeof LINES;

/** A line icon. Decorative: its button has a name of its own. */
export function LineIcon({ name }: { name: LineName }) {
  return (
    <svg className="icon line" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={LINES[name]} />
    </svg>
  );
}
