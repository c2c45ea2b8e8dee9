import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import type { Sample, Slot } from "../store/tiles";
import { spokenWords } from "../store/words";
import { useRun, useStore, useView } from "../ui/hooks";
import { Panel } from "../ui/parts";
import type { Plan } from "../wall/layout";
import { TileCard } from "./TileCard";
import { TileDialog } from "./TileDialog";
import { WallLegend } from "./WallLegend";
import { WallTools } from "./WallTools";

/** The newest samples with what the model says of them: painted, not rendered. */
export function TileWall() {
  const run = useRun();
  const { slots, frame, samples, plan } = useStore(run.wallView);
  const frozen = useStore(run.frozen);
  const [enlarged, setEnlarged] = useState<Sample>();
  const [pointed, setPointed] = useState<number>();
  const names = useView().registration?.classNames ?? [];
  const past = useStore(run.scrubber.shown)?.frame?.globalStep;
  const sample = pointed === undefined ? undefined : slots[pointed];
  return (
    <Panel title="Samples" className="wall-panel" aside={<WallTools />}>
      <div
        className="wall"
        data-testid="tile-wall"
        data-frozen={frozen}
        data-frame={frame}
        data-past={past}
      >
        <WallCanvas />
        <TileButtons
          slots={slots}
          plan={plan}
          frame={frame}
          names={names}
          onPoint={setPointed}
          onEnlarge={setEnlarged}
        />
        {sample && pointed !== undefined && !(plan.isList && plan.columns === 1) && (
          <TileCard sample={sample} index={pointed} plan={plan} names={names} />
        )}
        <WallNotice empty={!slots.some(Boolean)} samples={samples} />
      </div>
      <WallLegend />
      {enlarged && (
        <TileDialog sample={enlarged} names={names} onClose={() => setEnlarged(undefined)} />
      )}
    </Panel>
  );
}

/** The canvas and nothing else: React never touches it once it is there. */
function WallCanvas() {
  const run = useRun();
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const element = canvas.current;
    if (element === null) return;
    run.player.attach(element);
    const resize = new ResizeObserver(() => {
      run.player.repaint();
      run.setTilePixels((element.clientWidth / 4) * Math.min(2, devicePixelRatio));
    });
    resize.observe(element);
    const theme = () => run.player.refreshTheme();
    window.addEventListener("trainmon:theme", theme);
    return () => {
      resize.disconnect();
      window.removeEventListener("trainmon:theme", theme);
      run.player.attach(undefined);
    };
  }, [run]);
  // The buttons over it say what it shows; the canvas itself is a picture to nobody.
  return (
    <div className="wall-canvas" aria-hidden="true">
      <canvas ref={canvas} />
    </div>
  );
}

interface TileButtonsProps {
  slots: Slot[];
  plan: Plan;
  frame: number;
  names: string[];
  onPoint: (index: number | undefined) => void;
  onEnlarge: (sample: Sample) => void;
}

/** See-through buttons over the canvas, one for each tile; one of them is in the tab order. */
function TileButtons({ slots, plan, frame, names, onPoint, onEnlarge }: TileButtonsProps) {
  const count = plan.columns * plan.rows;
  const [chosen, setCurrent] = useState(0);
  const current = Math.min(chosen, count - 1);
  const grid = useRef<HTMLFieldSetElement>(null);
  const labels = useSlowLabels(slots, names);
  const onKey = (event: KeyboardEvent) => {
    const [across, down] = KEY_MOVES[event.key] ?? [0, 0];
    const next = current + across + down * plan.columns;
    if (next === current || next < 0 || next >= count) return;
    event.preventDefault();
    setCurrent(next);
    grid.current?.querySelectorAll<HTMLButtonElement>("button")[next]?.focus();
  };
  return (
    <fieldset
      ref={grid}
      className="tile-buttons"
      data-plan={plan.isList ? `list-${count}` : "grid"}
      aria-label="Tiles"
      onKeyDown={onKey}
    >
      {Array.from({ length: count }, (_, index) => {
        const slot = slots[index];
        return (
          <button
            // biome-ignore lint/suspicious/noArrayIndexKey: a place on the wall is its index.
            key={index}
            type="button"
            data-testid="tile"
            data-step={slot?.step}
            data-correct={slot ? VERDICT_WORDS[slot.verdict] : undefined}
            data-frame={frame}
            aria-label={labels[index] ?? `Tile ${index + 1}, empty`}
            tabIndex={index === current ? 0 : -1}
            onFocus={() => {
              setCurrent(index);
              onPoint(index);
            }}
            onBlur={() => onPoint(undefined)}
            onPointerEnter={(event) => event.pointerType === "mouse" && onPoint(index)}
            onPointerLeave={() => onPoint(undefined)}
            onClick={() => slot && onEnlarge(slot)}
          />
        );
      })}
    </fieldset>
  );
}

/** Tiles across and down. */
const KEY_MOVES: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

const VERDICT_WORDS = { right: "true", wrong: "false", unknown: "unknown" } as const;

/** What each tile shows, in words, at most once a second: faster is unreadable to a reader. */
function useSlowLabels(slots: Slot[], names: string[]): string[] {
  const latest = useRef({ slots, names });
  const [labels, setLabels] = useState<string[]>([]);
  useEffect(() => {
    latest.current = { slots, names };
  });
  useEffect(() => {
    const timer = setInterval(() => {
      const { slots: now, names: known } = latest.current;
      setLabels(now.map((slot, index) => labelOf(slot, index, known)));
    }, 1_000);
    return () => clearInterval(timer);
  }, []);
  return labels;
}

function labelOf(slot: Slot, index: number, names: string[]): string {
  if (slot === undefined) return `Tile ${index + 1}, empty`;
  const words = spokenWords(slot, names);
  return words === "" ? `Tile ${index + 1}` : `Tile ${index + 1}, ${words}`;
}

/** Words over a wall that has nothing to show. */
function WallNotice({ empty, samples }: { empty: boolean; samples: number }) {
  const { registration, summary } = useView();
  if (!empty || registration === undefined) return null;
  const words =
    samples > 0
      ? "No wrong prediction yet."
      : summary?.globalStep === undefined
        ? "The first batch has not ended yet."
        : "This run sends no samples.";
  return <p className="wall-notice">{words}</p>;
}
