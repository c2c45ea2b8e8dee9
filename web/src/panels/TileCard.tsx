import { formatCount, formatShare, formatValue } from "../store/format";
import type { Sample } from "../store/tiles";
import {
  agreementWords,
  chosenClasses,
  className,
  isMultiLabel,
  predictedWords,
  trueWords,
} from "../store/words";
import { Bar, Pair } from "../ui/parts";
import type { Plan } from "../wall/layout";

/** What the model thought of one tile, beside it, while it is pointed at. */
export function TileCard(props: { sample: Sample; index: number; plan: Plan; names: string[] }) {
  const { sample, index, plan } = props;
  const place = index % plan.columns;
  // Beside a list of two columns it covers the other one; four are the columns of the pictures.
  const column = plan.isList ? place + 1 : place;
  const row = Math.floor(index / plan.columns);
  return (
    <div className="tile-card" data-column={column} data-row={Math.floor((row * 4) / plan.rows)}>
      <SampleFacts sample={sample} names={props.names} />
    </div>
  );
}

const VERDICTS = { right: "✓ right", wrong: "✕ wrong", unknown: "" } as const;

/** Prediction, the five best classes, truth, loss and step of a sample. */
export function SampleFacts({ sample, names }: { sample: Sample; names: string[] }) {
  const top = sample.prediction?.topKScores ?? [];
  const predicted = predictedWords(sample, names);
  const truth = trueWords(sample, names);
  const agrees = agreementWords(sample);
  return (
    <div className="sample-facts">
      <p className="sample-verdict" data-verdict={sample.verdict}>
        <strong>{predicted || "no prediction"}</strong> <span>{VERDICTS[sample.verdict]}</span>
      </p>
      {top.length > 0 && (
        <ol className="top-scores">
          {top.map((score) => (
            <li key={score.classIndex} data-true={isTrue(sample, score.classIndex)}>
              <span>{className(score.classIndex, names, score.label)}</span>
              <Bar label={score.label} share={score.score} />
              <b>{formatShare(score.score)}</b>
            </li>
          ))}
        </ol>
      )}
      <dl className="pairs">
        {truth !== "" && <Pair name="Truth" value={truth} />}
        <SetDifference sample={sample} names={names} />
        {agrees !== "" && <Pair name="Agreement" value={agrees} />}
        {sample.loss !== undefined && <Pair name="Loss" value={formatValue(sample.loss)} />}
        <Pair name="Step" value={formatCount(sample.step)} />
        <Pair name="Epoch" value={String(sample.epoch + 1)} />
      </dl>
    </div>
  );
}

function isTrue({ truth }: Sample, index: number): boolean {
  return truth?.trueClass === index || truth?.trueClasses.includes(index) === true;
}

/** Of several labels: those that were missed, and those that are not true. */
function SetDifference({ sample, names }: { sample: Sample; names: string[] }) {
  const { prediction, truth } = sample;
  if (prediction === undefined || truth === undefined) return null;
  if (!isMultiLabel(prediction) || truth.trueClass >= 0) return null;
  const chosen = chosenClasses(prediction);
  const wanted = truth.trueClasses;
  const words = (classes: number[]) => classes.map((one) => className(one, names)).join(", ");
  const missed = words(wanted.filter((one) => !chosen.includes(one)));
  const surplus = words(chosen.filter((one) => !wanted.includes(one)));
  return (
    <>
      {missed !== "" && <Pair name="Missed" value={missed} />}
      {surplus !== "" && <Pair name="Not true" value={surplus} />}
    </>
  );
}
