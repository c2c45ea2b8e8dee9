import { type ReactNode, useId } from "react";
import { formatCount, formatLatency, formatRate, formatSpan, formatValue } from "../store/format";
import { type LimitWords, limitWords } from "../store/limits";
import { currentRate, newestLoss, progressOf } from "../store/progress";
import { lookOf } from "../store/states";
import { useRun, useStore, useView } from "../ui/hooks";
import { Bar } from "../ui/parts";

/** The numbers that are always on screen, large enough to be read across a room. */
export function GaugeStrip() {
  const run = useRun();
  const view = useView();
  const over = lookOf(view.summary?.state).ended;
  const gauges = useStore(run.gauges);
  const frozen = useStore(run.frozen);
  const looking = useStore(run.scrubber.shown) !== undefined;
  const rates = view.performance ?? view.summary;
  const progress = progressOf(view, run.metrics);
  const loss = newestLoss(view, run.metrics);
  return (
    <section className="gauges" aria-label="Now">
      <div className="gauges-run">
        <Gauge
          label="Loss"
          big
          tone={loss !== undefined && !Number.isFinite(loss) ? "bad" : "loss"}
        >
          <b data-testid="loss-value">{formatValue(loss)}</b>
        </Gauge>
        <Gauge label="Step" big>
          <b data-testid="global-step" data-step={progress.step}>
            {formatCount(progress.step)}
          </b>
        </Gauge>
        <ProgressGauge
          label="Epoch"
          testId="epoch-progress"
          now={progress.epoch}
          total={progress.totalEpochs}
          share={progress.runShare}
          left={progress.runRemainingMs}
        />
        <ProgressGauge
          label="Batch"
          testId="batch-progress"
          now={progress.batch}
          total={progress.batchesPerEpoch}
          share={progress.epochShare}
          left={progress.epochRemainingMs}
        />
      </div>
      <div className="gauges-flow">
        <Gauge
          label="Training"
          unit="batches/s"
          big
          title="Training batches per second over the last second, pauses excluded"
        >
          <b data-testid="training-fps">{formatRate(currentRate(view))}</b>
        </Gauge>
        <Gauge
          label="Average"
          unit="batches/s"
          title="Training batches per second since the run began, pauses excluded"
        >
          <b data-testid="average-fps">{formatRate(rates?.averageFps || undefined)}</b>
        </Gauge>
        <NewGauge over={over} />
        <Gauge
          label={looking ? "Past shown" : frozen ? "Frozen" : "Painted"}
          unit="frames/s"
          title="Pictures per second painted on the wall"
          {...(looking ? { tone: "eval" } : frozen ? { tone: "wait" } : {})}
        >
          <b data-testid="painted-fps">{formatRate(over ? undefined : gauges.paintedPerSecond)}</b>
        </Gauge>
        <Gauge
          label="Latency"
          title="From the end of a batch to its pixels, median of the last second"
        >
          <b data-testid="latency">{formatLatency(over ? undefined : gauges.latencyMs)}</b>
        </Gauge>
      </div>
    </section>
  );
}

/** New pictures, and in place of the unit what keeps them down. */
function NewGauge({ over }: { over: boolean }) {
  const run = useRun();
  const { newPerSecond } = useStore(run.gauges);
  const words = limitWords(useStore(run.slow), useView().performance?.pictureLimit);
  const limit = over ? undefined : words;
  return (
    <Gauge
      label="New"
      unit="frames/s"
      title={limit?.reason ?? "New pictures per second that reach this browser"}
      {...(limit ? { tone: "wait", limit } : {})}
    >
      <b data-testid="new-fps">{formatRate(over ? undefined : newPerSecond)}</b>
    </Gauge>
  );
}

function Gauge(props: {
  label: string;
  unit?: string;
  big?: boolean;
  tone?: string;
  title?: string;
  /** What keeps the number down; shown in place of the unit. */
  limit?: LimitWords;
  children: ReactNode;
}) {
  return (
    <div className={props.big ? "gauge big" : "gauge"} data-tone={props.tone} title={props.title}>
      <span className="gauge-label">
        {props.label}
        {props.limit ? <Limit {...props.limit} /> : props.unit && <i> {props.unit}</i>}
      </span>
      {props.children}
    </div>
  );
}

/** What keeps a number down; pressed, by whatever hand, it says what that means and does. */
function Limit({ word, reason }: LimitWords) {
  const id = useId();
  return (
    <>
      {" "}
      <button
        type="button"
        className="gauge-limit"
        popoverTarget={id}
        aria-describedby={id}
        data-testid="picture-limit"
      >
        {word}
      </button>
      <span id={id} popover="auto" className="gauge-reason" data-testid="picture-limit-reason">
        {reason}
      </span>
    </>
  );
}

function ProgressGauge(props: {
  label: string;
  testId: string;
  now: number | undefined;
  total: number | undefined;
  share: number | undefined;
  left: number | undefined;
}) {
  const { label, now, total } = props;
  return (
    <div className="gauge wide" data-testid={props.testId}>
      <span className="gauge-label">
        {label}
        {props.left !== undefined && <i> {formatSpan(props.left)} left</i>}
      </span>
      <b>
        {formatCount(now)}
        {total ? <small> / {formatCount(total)}</small> : null}
      </b>
      <Bar label={`${label} progress`} share={props.share} />
    </div>
  );
}
