import type { EpochData } from "../rpc/plain";
import { formatCount, formatSetting, formatShare, formatSpan, formatValue } from "../store/format";
import { convergenceOf } from "../store/states";
import { Earlier, useNewest } from "../ui/Earlier";
import { useView } from "../ui/hooks";
import { Nothing, Panel } from "../ui/parts";

/** Rows shown before someone asks for more: a table of thousands is scrolled by nobody. */
const SHOWN = 100;

/** Every epoch with all that is known of it, newest first. */
export function EpochTable() {
  const { epochs } = useView();
  const names = [...new Set(epochs.flatMap((epoch) => Object.keys(epoch.metrics)))].sort();
  const { shown, ...rest } = useNewest(epochs, SHOWN);
  const rows = [...shown].reverse();
  return (
    <Panel title="Epochs" className="wide-panel">
      {rows.length === 0 ? (
        <Nothing>The first epoch has not ended yet.</Nothing>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls is reached by keys.
        <section className="scroll-x" aria-label="Epoch table" tabIndex={0}>
          <table className="table">
            <thead>
              <tr>
                {[
                  "Epoch",
                  "Step",
                  "Loss",
                  "Val. loss",
                  "Accuracy",
                  "Val. accuracy",
                  "Learning rate",
                  ...names,
                  "Took",
                  "Trend",
                ].map((title) => (
                  <th key={title} scope="col">
                    {title}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((epoch) => (
                <Row key={`${epoch.attempt}:${epoch.epoch}`} epoch={epoch} names={names} />
              ))}
            </tbody>
          </table>
          <Earlier {...rest} />
        </section>
      )}
    </Panel>
  );
}

function Row({ epoch, names }: { epoch: EpochData; names: string[] }) {
  const trend = convergenceOf(epoch.convergenceStatus);
  return (
    <tr>
      <th scope="row">
        {epoch.epoch + 1}
        {epoch.attempt > 0 && <small> attempt {epoch.attempt + 1}</small>}
      </th>
      <td>{formatCount(epoch.globalStep)}</td>
      <td>{formatValue(epoch.averageLoss)}</td>
      <td>{formatValue(epoch.validationLoss)}</td>
      <td>{formatShare(epoch.averageAccuracy)}</td>
      <td>{formatShare(epoch.validationAccuracy)}</td>
      <td>{formatSetting(epoch.learningRate)}</td>
      {names.map((name) => (
        <td key={name}>{formatValue(epoch.metrics[name])}</td>
      ))}
      <td>{formatSpan(epoch.durationMs)}</td>
      <td data-tone={trend.tone}>{trend.word}</td>
    </tr>
  );
}
