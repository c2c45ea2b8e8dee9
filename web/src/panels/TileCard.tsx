import { formatCount, formatShare, formatValue } from "../store/format";
import { predictedWords, type Sample, trueWords } from "../store/tiles";
import { Bar, Pair } from "../ui/parts";

/** What the model thought of one tile, beside it, while it is pointed at. */
export function TileCard(props: { sample: Sample; index: number; names: string[] }) {
  const { sample, index } = props;
  const column = index % 4;
  return (
    <div
      className="tile-card"
      data-side={column < 2 ? "right" : "left"}
      data-column={column}
      data-row={Math.floor(index / 4)}
    >
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
  return (
    <div className="sample-facts">
      <p className="sample-verdict" data-verdict={sample.verdict}>
        <strong>{predicted || "no prediction"}</strong> <span>{VERDICTS[sample.verdict]}</span>
      </p>
      {top.length > 0 && (
        <ol className="top-scores">
          {top.map((score) => (
            <li key={score.classIndex} data-true={score.classIndex === sample.truth?.trueClass}>
              <span>{score.label || names[score.classIndex] || `class ${score.classIndex}`}</span>
              <Bar label={score.label} share={score.score} />
              <b>{formatShare(score.score)}</b>
            </li>
          ))}
        </ol>
      )}
      <dl className="pairs">
        {truth !== "" && <Pair name="Truth" value={truth} />}
        {sample.loss !== undefined && <Pair name="Loss" value={formatValue(sample.loss)} />}
        <Pair name="Step" value={formatCount(sample.step)} />
        <Pair name="Epoch" value={String(sample.epoch + 1)} />
      </dl>
    </div>
  );
}
