import { setPreferences } from "../runtime/preferences";
import { lookOf } from "../store/states";
import { nextOverlay } from "../store/tiles";
import { usePreferences, useRun, useStore, useView } from "../ui/hooks";
import { LineIcon } from "../ui/icons";
import { Toggle } from "../ui/parts";

const RATES = [1, 2, 5, 10, 15, 30, 60];

const OVERLAY_WORDS = {
  both: "Both overlays",
  predicted: "Predicted",
  true: "Truth",
  none: "No overlay",
} as const;

/** How the wall is read: frozen, slowed, sorted, filtered. */
export function WallTools() {
  const run = useRun();
  const frozen = useStore(run.frozen);
  const looking = useStore(run.scrubber.shown) !== undefined;
  const { marks } = useStore(run.wallView);
  const over = lookOf(useView().summary?.state).ended;
  const { sortByLoss, wrongOnly, overlay } = usePreferences();
  return (
    <div className="tools wall-tools">
      {!over && (
        <Toggle
          pressed={frozen}
          onPress={(pressed) => run.setFrozen(pressed)}
          title="Hold the pictures; training goes on (f)"
          testId="freeze"
          disabled={looking}
        >
          <LineIcon name="snow" />
          {frozen ? "Frozen" : "Freeze"}
        </Toggle>
      )}
      <Toggle
        pressed={wrongOnly}
        onPress={(pressed) => setPreferences({ wrongOnly: pressed })}
        title="Only wrong predictions, the newest sixteen (w)"
        testId="wrong-only"
      >
        Wrong only
      </Toggle>
      <Toggle
        pressed={sortByLoss}
        onPress={(pressed) => setPreferences({ sortByLoss: pressed })}
        title="Greatest loss first (o)"
        testId="sort-by-loss"
      >
        <LineIcon name="sort" />
        By loss
      </Toggle>
      {marks.overlays && (
        <button
          type="button"
          className="button small"
          title="Which masks and boxes are shown: both, predicted, true, none (m)"
          data-testid="overlay"
          data-overlay={overlay}
          onClick={() => setPreferences({ overlay: nextOverlay(overlay) })}
        >
          {OVERLAY_WORDS[overlay]}
        </button>
      )}
      {!over && <RateSlider disabled={looking} />}
    </div>
  );
}

function RateSlider({ disabled }: { disabled: boolean }) {
  const { rate } = usePreferences();
  return (
    <label className="rate" title="Pictures per second asked for">
      <input
        type="range"
        min={0}
        max={RATES.length - 1}
        step={1}
        value={nearest(rate)}
        disabled={disabled}
        data-testid="rate"
        aria-label="Pictures per second"
        aria-valuetext={`${rate} per second`}
        onChange={(event) => setPreferences({ rate: RATES[Number(event.target.value)] ?? 60 })}
      />
      <output>{rate}/s</output>
    </label>
  );
}

function nearest(rate: number): number {
  const distances = RATES.map((one) => Math.abs(one - rate));
  return distances.indexOf(Math.min(...distances));
}
