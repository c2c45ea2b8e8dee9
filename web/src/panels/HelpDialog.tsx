import { Modal } from "../ui/Modal";

const KEYS: [string, string][] = [
  ["Space", "Pause or resume the training"],
  ["s", "Stop the run; asks once"],
  ["f", "Freeze the tiles; training goes on"],
  ["w", "Only wrong predictions"],
  ["o", "Tiles in order of loss, greatest first"],
  ["m", "Masks and boxes: both, predicted, true, none"],
  ["g", "Logarithmic loss axis"],
  ["0", "Show the whole run on the charts"],
  ["← →", "Look back, on the chart in focus; with shift in long steps"],
  ["Home End", "The first step, the newest"],
  ["Esc l", "Back to live"],
  ["+ − , .", "Zoom and move the chart in focus"],
  ["Arrows", "Move among the tiles; Enter enlarges one"],
  ["t", "Dark or light"],
  ["/", "Search, in the list of sessions"],
  ["?", "This help"],
];

/** The keys, and what the marks mean. */
export function HelpDialog({ onClose }: { onClose: () => void }) {
  return (
    <Modal label="Keys and help" className="help" closable onClose={onClose}>
      <h2>Keys</h2>
      <dl className="keys">
        {KEYS.map(([key, meaning]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <h2>Marks</h2>
      <p>
        A tile with a tick and a whole border was predicted right; one with a cross and a broken
        border, wrong. Flags on the charts are commands at the step they took effect: <b>L</b>{" "}
        learning rate, <b>P</b> pause, <b>R</b> resume, <b>S</b> stop, <b>C</b> checkpoint, <b>E</b>{" "}
        evaluation, <b>K</b> any other control. Crosses along the axis are values that are not
        finite.
      </p>
      <p>
        A predicted mask is filled and a predicted box whole, in the colour of its class; a true
        mask is an outline and a true box broken, in black and white. A token stands on a ground
        that is the stronger the greater its loss, and is underlined where that is great.
      </p>
      <p>
        Click or drag on a chart to look back: the wall shows the picture that was kept nearest to
        that step, marked by a small triangle under the charts. Drag with shift to zoom, or turn the
        wheel with control; double-click shows the whole run.
      </p>
      <p>Latency is from the end of a batch to its pixels, on one clock.</p>
      <p>
        A step is named by its number from 0. A command that took effect at step 700 found step 699
        done, and was heeded before step 700 began.
      </p>
    </Modal>
  );
}
