import { useEffect, useState } from "react";
import { actOnMoment } from "../charts/Chart";
import type { Connection } from "../runtime/connection";
import { setPreferences } from "../runtime/preferences";
import { Run } from "../runtime/run";
import { lookOf } from "../store/states";
import { nextOverlay } from "../store/tiles";
import { RunContext, useKeys, usePreferences, useRun, useStore, useView } from "../ui/hooks";
import { followLink, showStepInAddress, stepInAddress } from "../ui/route";
import { nextTheme } from "../ui/theme";
import { EndBanner, NanBanner } from "./banners";
import { CommandLog } from "./CommandLog";
import { TopBar } from "./chrome";
import { EpochCharts } from "./EpochCharts";
import { EpochTable } from "./EpochTable";
import { Errors, Hyperparameters, Notes, Ranks } from "./facts";
import { GaugeStrip } from "./GaugeStrip";
import { HelpDialog } from "./HelpDialog";
import { LinkBanner } from "./LinkBanner";
import { LossPanel } from "./LossPanel";
import { MetricCharts } from "./MetricCharts";
import { Resources } from "./Resources";
import { RunBar } from "./RunBar";
import { Steering } from "./Steering";
import { TileWall } from "./TileWall";
import { useRunControls } from "./useRunControls";

/** A moment stands still for so long before it goes into the address, in ms. */
const ADDRESS_MS = 350;

/** One session: the instrument. */
export function RunView(props: { sessionId: string; connection: Connection }) {
  const { sessionId, connection } = props;
  const [run, setRun] = useState<Run>();

  useEffect(() => {
    const made = new Run(sessionId, connection);
    made.open();
    const step = stepInAddress();
    if (step !== undefined) made.scrubber.goTo(step);
    const unfollow = followMoment(made);
    setRun(made);
    return () => {
      unfollow();
      made.close();
    };
  }, [sessionId, connection]);

  if (run === undefined) return <main className="blank" aria-busy="true" />;
  return (
    <RunContext value={run}>
      <Instrument />
    </RunContext>
  );
}

/** Keep the address at the moment that is shown, once it stands still. Returns the undoing. */
function followMoment(run: Run): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const show = () => showStepInAddress(run.sessionId, run.scrubber.moment.get()?.step);
  const undo = run.scrubber.moment.subscribe(() => {
    clearTimeout(timer);
    // Browsers allow an address to be changed a hundred times in half a minute.
    timer = setTimeout(show, ADDRESS_MS);
  });
  return () => {
    clearTimeout(timer);
    undo();
  };
}

function Instrument() {
  const run = useRun();
  const view = useView();
  const link = useStore(run.link);
  const [help, setHelp] = useState(false);
  const [stopping, setStopping] = useState(false);
  const scalars = useScalarsOnly();
  useTitle();
  useShortcuts(setHelp, setStopping);
  useMomentKeys();

  if (view.summary === undefined && link.fault === "unknown-session") return <Unknown />;
  return (
    <div className="instrument" data-link={link.state}>
      <RunBar onHelp={() => setHelp(true)} stopping={stopping} setStopping={setStopping} />
      <GaugeStrip />
      <LinkBanner link={link} onRetry={() => run.connection.retryNow()} />
      <EndBanner />
      <NanBanner />
      <main className="run" data-scalars={scalars}>
        <TileWall />
        <div className="run-right">
          <div className="run-right-fill">
            <LossPanel />
            <div className="run-steer">
              <Steering />
              <CommandLog />
            </div>
          </div>
        </div>
        <div className="run-more">
          <EpochCharts />
          <MetricCharts />
          <EpochTable />
          <Resources />
          <Hyperparameters />
          <Ranks />
          <Notes />
          <Errors />
        </div>
      </main>
      {help && <HelpDialog onClose={() => setHelp(false)} />}
    </div>
  );
}

/** A run that has shown no sample for so long sends none, in ms. */
const NO_SAMPLES_MS = 2_500;

/** Whether a run trains and sends no samples: then the curves get the room of the wall. */
function useScalarsOnly(): boolean {
  const run = useRun();
  const { summary } = useView();
  const { samples } = useStore(run.wallView);
  const [waited, setWaited] = useState(false);
  const trains = summary?.globalStep !== undefined;
  useEffect(() => {
    if (!trains || samples > 0) return;
    const timer = setTimeout(() => setWaited(true), NO_SAMPLES_MS);
    return () => clearTimeout(timer);
  }, [trains, samples]);
  return waited && samples === 0;
}

/** The tab says what the run does when that is not simply running. */
function useTitle(): void {
  const { summary } = useView();
  const look = lookOf(summary?.state);
  const name = summary?.sessionName || "trainmon";
  const title = summary === undefined || look.name === "running" ? name : `${look.word} · ${name}`;
  useEffect(() => {
    document.title = `${title} · trainmon`;
  }, [title]);
}

function useShortcuts(
  setHelp: (open: boolean) => void,
  setStopping: (open: boolean) => void,
): void {
  const run = useRun();
  const controls = useRunControls();
  const chosen = usePreferences();
  useKeys((key, event) => {
    const actions: Record<string, () => void> = {
      " ": controls.togglePause,
      f: () => run.setFrozen(!run.frozen.get()),
      s: () => controls.canStop && setStopping(true),
      w: () => setPreferences({ wrongOnly: !chosen.wrongOnly }),
      o: () => setPreferences({ sortByLoss: !chosen.sortByLoss }),
      m: () => setPreferences({ overlay: nextOverlay(chosen.overlay) }),
      g: () => setPreferences({ logarithmic: !chosen.logarithmic }),
      t: () => setPreferences({ theme: nextTheme(chosen.theme) }),
      "0": () => run.history.setZoom(undefined),
      "?": () => setHelp(true),
    };
    const action = actions[key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  });
}

/** While the past is shown its keys work everywhere but where arrows have a meaning of their own. */
function useMomentKeys(): void {
  const run = useRun();
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (run.scrubber.moment.get() === undefined || belongsElsewhere(event)) return;
      if (actOnMoment(event.key, event.shiftKey, run)) event.preventDefault();
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, [run]);
}

function belongsElsewhere(event: KeyboardEvent): boolean {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return true;
  if (!(event.target instanceof Element)) return false;
  if (event.target.closest("input, select, textarea, dialog")) return true;
  const leaves = event.key === "Escape" || event.key.toLowerCase() === "l";
  return !leaves && event.target.closest(".tile-buttons, .scroll-x") !== null;
}

function Unknown() {
  return (
    <>
      <TopBar />
      <main className="blank">
        <h1>This session is not known here</h1>
        <p>
          It was deleted, or it belongs to another monitor. The page keeps asking.{" "}
          <a href="/" onClick={followLink}>
            Show every session.
          </a>
        </p>
      </main>
    </>
  );
}
