import { useState } from "react";
import { formatCount, formatSpan, formatValue } from "../store/format";
import { lookOf } from "../store/states";
import { useRun, useStore, useView } from "../ui/hooks";
import { LineIcon, ShapeIcon } from "../ui/icons";

/** Says loudly that the loss is, or was, not a number. */
export function NanBanner() {
  const run = useRun();
  useStore(run.gauges);
  const [seen, setSeen] = useState(0);
  const trouble = run.metrics.notFinite;
  if (trouble === undefined || trouble.episode <= seen) return null;
  const now = run.metrics.lastValue("loss");
  const still = now !== undefined && !Number.isFinite(now);
  return (
    <div className="banner" data-tone="bad" data-testid="nan-banner">
      <LineIcon name="warning" />
      <strong role="alert">
        {still
          ? `The loss is ${formatValue(now)}.`
          : `The loss was ${formatValue(trouble.value)}, and is finite again.`}
      </strong>
      <span className="banner-detail">
        First at step {formatCount(trouble.firstStep)}, last at step {formatCount(trouble.lastStep)}
        .
      </span>
      <button type="button" className="button small" onClick={() => setSeen(trouble.episode)}>
        Dismiss
      </button>
    </div>
  );
}

/** Says how a run ended, or why it is not heard of. */
export function EndBanner() {
  const { summary } = useView();
  const look = lookOf(summary?.state);
  const troubled = look.name === "stalled" || look.name === "link-lost";
  if (summary === undefined || !(look.ended || troubled)) return null;
  const tookMs = summary.endedMs === undefined ? undefined : summary.endedMs - summary.startedMs;
  return (
    <div className="banner" data-tone={look.tone} role="status">
      <ShapeIcon shape={look.shape} />
      <strong>{look.word}.</strong>
      <span className="banner-detail">
        {sentence(summary.statusMessage || look.meaning)}
        {tookMs !== undefined && ` It ran for ${formatSpan(tookMs)}.`}
      </span>
    </div>
  );
}

/** End with a full stop what is followed by more. */
function sentence(text: string): string {
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}
