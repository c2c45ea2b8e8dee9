import { useRun, useStore, useView } from "../ui/hooks";
import { classCss } from "../wall/colours";
import { HOT_NATS } from "../wall/text";

/** Classes that are named at most; the dialog of a tile names the others. */
const NAMED = 12;

/** What the colours on the wall mean; nothing where there are none. */
export function WallLegend() {
  const { marks } = useStore(useRun().wallView);
  const names = useView().registration?.classNames ?? [];
  return (
    <>
      {marks.overlays && names.length > 0 && <ClassLegend names={names} />}
      {marks.tokens && <TokenLegend />}
    </>
  );
}

function ClassLegend({ names }: { names: string[] }) {
  const more = names.length - NAMED;
  return (
    <ul className="wall-legend" aria-label="Colours of the classes" data-testid="class-legend">
      {names.slice(0, NAMED).map((name, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a class is its index; names may be equal.
        <li key={index}>
          <svg width="11" height="11" aria-hidden="true">
            <rect width="11" height="11" rx="2" fill={classCss(index)} />
          </svg>
          {name}
        </li>
      ))}
      {more > 0 && <li>and {more} more</li>}
    </ul>
  );
}

/** From a certain token to a surprising one. */
export function TokenLegend() {
  return (
    <p className="wall-legend" data-testid="token-legend">
      <span>Loss of a token</span>
      <span className="heat-scale" aria-hidden="true">
        {[0, 1, 2, 3, 4, 5].map((heat) => (
          <i key={heat} data-heat={heat} />
        ))}
      </span>
      <span>
        0 to {HOT_NATS} nats and more; underlined from {HOT_NATS / 2}
      </span>
    </p>
  );
}
