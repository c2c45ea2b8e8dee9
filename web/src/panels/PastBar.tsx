import type { Moment } from "../runtime/scrubber";
import { formatCount } from "../store/format";
import { useRun, useStore } from "../ui/hooks";
import { LineIcon } from "../ui/icons";

/** Says that the past is shown, of when its picture is, and leads back; nothing while live. */
export function PastBar() {
  const run = useRun();
  const moment = useStore(run.scrubber.shown);
  if (moment === undefined) return null;
  const back = run.ended ? "Back to the end" : "Back to live";
  return (
    <section
      className="past-bar"
      aria-label="The past is shown"
      data-testid="past-bar"
      data-step={moment.step}
      data-frame-step={moment.frame?.globalStep}
      data-asking={moment.asking}
    >
      <LineIcon name="past" />
      <span className="past-words">
        <strong>
          <span role="status">Past</span> · step {formatCount(moment.step)}
        </strong>
        <small>
          <PictureWords {...moment} />
        </small>
      </span>
      <span className="past-moves">
        <button
          type="button"
          className="button icon-only"
          aria-label="Earlier"
          title="Earlier (←, much with shift)"
          onClick={(event) => run.nudge(-1, event.shiftKey)}
        >
          <LineIcon name="back" />
        </button>
        <button
          type="button"
          className="button icon-only"
          aria-label="Later"
          title="Later (→, much with shift)"
          onClick={(event) => run.nudge(1, event.shiftKey)}
        >
          <LineIcon name="forward" />
        </button>
      </span>
      <button
        type="button"
        className="button"
        data-tone="accent"
        data-testid="back-to-live"
        title={`${back} (Esc or L)`}
        onClick={() => run.scrubber.live()}
      >
        {back}
      </button>
    </section>
  );
}

/** Of when the picture on the wall is, or why there is none. */
function PictureWords({ step, frame, asking, problem }: Moment) {
  if (problem !== "") return problem;
  if (frame === undefined) return "asking for the nearest picture…";
  if (asking) return "asking for a nearer picture…";
  const away = frame.globalStep - step;
  const far = `, ${formatCount(Math.abs(away))} ${away < 0 ? "before" : "after"}`;
  return (
    <>
      nearest picture kept:{" "}
      <span>
        step {formatCount(frame.globalStep)}
        {away !== 0 && far}
      </span>
    </>
  );
}
