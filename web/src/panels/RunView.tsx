import { useEffect, useState } from "react";
import type { Connection } from "../runtime/connection";
import { setPreferences } from "../runtime/preferences";
import { Run } from "../runtime/run";
import { lookOf } from "../store/states";
import { nextOverlay } from "../store/tiles";
import { RunContext, useKeys, usePreferences, useRun, useStore, useView } from "../ui/hooks";
import { nextTheme } from "../ui/theme";
import { EndBanner, NanBanner } from "./banners";
import { CommandLog } from "./CommandLog";
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

/** One session: the instrument. */
export function RunView(props: { sessionId: string; connection: Connection }) {
  const { sessionId, connection } = props;
  const [run, setRun] = useState<Run>();

  useEffect(() => {
    const made = new Run(sessionId, connection);
    made.open();
    setRun(made);
    return () => made.close();
  }, [sessionId, connection]);

  if (run === undefined) return <main className="blank" aria-busy="true" />;
  return (
    <RunContext value={run}>
      <Instrument />
    </RunContext>
  );
}

function Instrument() {
  const run = useRun();
  const view = useView();
  const link = useStore(run.link);
  const [help, setHelp] = useState(false);
  const [stopping, setStopping] = useState(false);
  useTitle();
  useShortcuts(setHelp, setStopping);

  if (view.summary === undefined && link.fault === "unknown-session") return <Unknown />;
  return (
    <div className="instrument" data-link={link.state}>
      <RunBar onHelp={() => setHelp(true)} stopping={stopping} setStopping={setStopping} />
      <GaugeStrip />
      <LinkBanner link={link} onRetry={() => run.connection.retryNow()} />
      <EndBanner />
      <NanBanner />
      <main className="run">
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
      l: () => setPreferences({ sortByLoss: !chosen.sortByLoss }),
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

function Unknown() {
  return (
    <main className="blank">
      <h1>This session is not known here</h1>
      <p>
        It was deleted, or it belongs to another monitor. The page keeps asking.{" "}
        <a href="/">Show every session.</a>
      </p>
    </main>
  );
}
