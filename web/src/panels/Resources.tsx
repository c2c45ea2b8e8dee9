import type { LossCount, PerformanceData } from "../rpc/plain";
import { formatBytes, formatCount, formatSetting } from "../store/format";
import { useView } from "../ui/hooks";
import { Bar, Nothing, Pair, Panel } from "../ui/parts";

/** What the training uses, what we use ourselves, and what was thinned or refused. */
export function Resources() {
  const { performance, missingRecords } = useView();
  return (
    <>
      <Panel title="Resources">
        {performance === undefined ? (
          <Nothing>Not measured yet.</Nothing>
        ) : (
          <Meters performance={performance} />
        )}
      </Panel>
      <Panel title="Monitoring itself">
        {performance && <Overhead performance={performance} />}
        <Losses losses={performance?.losses ?? []} missing={missingRecords} />
      </Panel>
    </>
  );
}

function Meters({ performance }: { performance: PerformanceData }) {
  const cores = performance.cpuCount || 1;
  const { cpuPercent, hostMemoryTotalBytes: total, hostMemoryUsedBytes: used } = performance;
  return (
    <div className="meters">
      <Meter
        label="CPU of the training"
        share={cpuPercent === undefined ? undefined : cpuPercent / 100 / cores}
        words={
          cpuPercent === undefined ? "–" : `${cpuPercent.toFixed(0)} % of one core, ${cores} cores`
        }
      />
      <Meter
        label="Memory of the training"
        share={performance.memoryBytes && total ? performance.memoryBytes / total : undefined}
        words={formatBytes(performance.memoryBytes)}
      />
      <Meter
        label="Memory of the host"
        share={used && total ? used / total : undefined}
        words={`${formatBytes(used)} of ${formatBytes(total)}`}
      />
      {performance.gpus.map((gpu) => (
        <Meter
          key={gpu.index}
          label={`GPU ${gpu.index} ${gpu.name}`}
          share={gpu.utilizationPercent / 100}
          words={`${gpu.utilizationPercent.toFixed(0)} % · ${formatBytes(gpu.memoryUsedBytes)} of ${formatBytes(gpu.memoryTotalBytes)}`}
        />
      ))}
      {performance.gpus.length === 0 && <p className="nothing">No GPU can be read on this host.</p>}
    </div>
  );
}

function Meter({
  label,
  share,
  words,
}: {
  label: string;
  share: number | undefined;
  words: string;
}) {
  return (
    <div className="meter">
      <span>{label}</span>
      <b>{words}</b>
      {share !== undefined && <Bar label={label} share={share} />}
    </div>
  );
}

function Overhead({ performance }: { performance: PerformanceData }) {
  return (
    <dl className="pairs">
      <Pair
        name="Time in the training's thread"
        value={`${formatSetting(performance.captureUs)} µs a batch`}
      />
      <Pair
        name="Relay"
        value={`${performance.relayCpuPercent.toFixed(1)} % of one core, ${formatBytes(performance.relayMemoryBytes)}`}
      />
      <Pair name="Batch" value={`${formatSetting(performance.batchTimeMs)} ms`} />
      {performance.roundTripMs !== undefined && (
        <Pair
          name="Relay to monitor and back"
          value={`${formatSetting(performance.roundTripMs)} ms`}
        />
      )}
    </dl>
  );
}

/** What is not there, by kind and reason: nothing is dropped in silence. */
function Losses({ losses, missing }: { losses: LossCount[]; missing: number }) {
  const kept = losses.filter((loss) => loss.count > 0);
  return (
    <div className="losses" data-testid="losses">
      <h3>Thinned or refused</h3>
      {kept.length === 0 && missing === 0 && <p className="nothing">Nothing.</p>}
      <ul>
        {missing > 0 && (
          <li data-tone="bad">
            <b>{formatCount(missing)}</b> records never arrived
          </li>
        )}
        {kept.map((loss) => (
          <li key={`${loss.kind}/${loss.reason}`} data-tone={loss.bestEffort ? "quiet" : "bad"}>
            <b>{formatCount(loss.count)} ×</b> {spoken(loss.kind)}, {spoken(loss.reason)}
            {loss.bestEffort && <small> (best effort)</small>}
          </li>
        ))}
      </ul>
    </div>
  );
}

function spoken(name: string): string {
  return name.replace(/_/g, " ");
}
