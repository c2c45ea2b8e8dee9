import { memo } from "react";
import type { Tone } from "../store/states";

const WIDTH = 96;
const HEIGHT = 24;

/** A small line of the last values; nothing where there are fewer than two. */
export const Sparkline = memo(function Sparkline(props: { values: number[]; tone: Tone }) {
  const finite = props.values.filter(Number.isFinite);
  const low = Math.min(...finite);
  const span = Math.max(...finite) - low || 1;
  const points = finite.map((value, i) => {
    const x = (i / Math.max(1, finite.length - 1)) * WIDTH;
    const y = HEIGHT - 2 - ((value - low) / span) * (HEIGHT - 4);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  return (
    <svg
      className="sparkline"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      data-tone={props.tone}
      aria-hidden="true"
    >
      {points.length > 1 && <polyline points={points.join(" ")} />}
    </svg>
  );
});
