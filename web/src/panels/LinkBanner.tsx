import { useEffect, useState } from "react";
import type { Fault } from "../rpc/failure";
import type { Link } from "../rpc/follow";

const HEADLINES: Record<Fault, string> = {
  gateway: "The gateway does not answer.",
  monitor: "The gateway answers, but the monitor behind it does not.",
  silence: "Nothing was heard for five seconds.",
  "unknown-session": "The monitor does not know this session.",
  overflow: "This page read too slowly; it resumes where it was.",
  error: "The stream was refused.",
};

/** Says who is away while the link is lost, and when the next try is. Training goes on meanwhile. */
export function LinkBanner({ link, onRetry }: { link: Link; onRetry: () => void }) {
  if (link.state === "parked") {
    return (
      <p className="banner" data-tone="wait" role="status">
        <span>
          More than three sessions are open in this browser. This one waits; it resumes when its tab
          is chosen.
        </span>
      </p>
    );
  }
  if (link.state !== "lost" || link.fault === undefined) return null;
  return (
    <div className="banner" data-tone="bad" data-fault={link.fault}>
      <strong role="alert">{HEADLINES[link.fault]}</strong>
      <span className="banner-detail">{detailOf(link)}</span>
      <Countdown untilMs={link.retryAtMs} />
      <button type="button" className="button small" onClick={onRetry}>
        Try now
      </button>
    </div>
  );
}

function detailOf(link: Link): string {
  if (link.fault === "gateway")
    return "Start it again with “trainmon gateway”; this page comes back by itself.";
  return link.message ?? "";
}

function Countdown({ untilMs }: { untilMs: number | undefined }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  if (untilMs === undefined) return null;
  const seconds = Math.max(0, Math.ceil((untilMs - now) / 1000));
  return <span className="countdown">{seconds > 0 ? `Next try in ${seconds} s` : "Trying…"}</span>;
}
