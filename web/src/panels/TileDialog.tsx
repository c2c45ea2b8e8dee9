import { useEffect, useRef } from "react";
import { formatValue } from "../store/format";
import type { Sample } from "../store/tiles";
import { usePreferences } from "../ui/hooks";
import { Modal } from "../ui/Modal";
import { decodeArt, releaseArt } from "../wall/art";
import { readPalette } from "../wall/colours";
import { drawSubject } from "../wall/picture";
import { isScored, piecesOf } from "../wall/text";
import { SampleFacts } from "./TileCard";
import { TokenLegend } from "./WallLegend";

/** One sample, large and still, as it was when it was chosen. */
export function TileDialog(props: { sample: Sample; names: string[]; onClose: () => void }) {
  const { sample } = props;
  return (
    <Modal label="Sample" className="tile-dialog" closable onClose={props.onClose}>
      <div className="tile-dialog-body">
        {sample.text && !sample.image ? (
          <LargeText sample={sample} />
        ) : (
          <LargePicture sample={sample} />
        )}
        <div>
          <SampleFacts sample={sample} names={props.names} />
          <Values title="Predicted values" values={sample.prediction?.values} />
          <Values title="True values" values={sample.truth?.values} />
          <Words title="Generated" text={sample.prediction?.text} />
          <Words title="Reference" text={sample.truth?.text} />
        </div>
      </div>
    </Modal>
  );
}

function LargePicture({ sample }: { sample: Sample }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { overlay } = usePreferences();
  useEffect(() => {
    let gone = false;
    void decodeArt(sample).then((art) => {
      const element = canvas.current;
      const context = element?.getContext("2d");
      if (!gone && element && context) {
        const scale = Math.min(2, devicePixelRatio);
        const edge = element.clientWidth;
        element.width = Math.round(edge * scale);
        element.height = Math.round(edge * scale);
        context.setTransform(scale, 0, 0, scale, 0, 0);
        const look = { palette: readPalette(), overlay };
        drawSubject(context, { x: 0, y: 0, width: edge, height: edge }, sample, art, look);
      }
      releaseArt(art);
    });
    return () => {
      gone = true;
    };
  }, [sample, overlay]);
  const { width, height } = sample.image ?? { width: 0, height: 0 };
  return (
    <figure className="large-picture">
      <canvas ref={canvas} role="img" aria-label="The sample, enlarged" />
      <figcaption>{width > 0 ? `${width} × ${height} pixels as sent` : "no picture"}</figcaption>
    </figure>
  );
}

function LargeText({ sample }: { sample: Sample }) {
  const scored = sample.text !== undefined && isScored(sample.text);
  return (
    <div>
      {scored && <TokenLegend />}
      <p className="large-text">
        {(sample.text ? piecesOf(sample.text) : []).map((piece, index) => (
          <span
            // biome-ignore lint/suspicious/noArrayIndexKey: tokens have no name but their place.
            key={index}
            data-heat={piece.heat === undefined ? undefined : Math.round(piece.heat * 5)}
            title={piece.loss === undefined ? undefined : `loss ${formatValue(piece.loss)}`}
          >
            {piece.text}
          </span>
        ))}
      </p>
    </div>
  );
}

function Values({ title, values }: { title: string; values: number[] | undefined }) {
  if (!values || values.length === 0) return null;
  return (
    <div className="sample-extra">
      <h3>{title}</h3>
      <p>
        {values
          .slice(0, 64)
          .map((value) => Number(value.toPrecision(5)))
          .join(", ")}
      </p>
    </div>
  );
}

function Words({ title, text }: { title: string; text: string | undefined }) {
  if (!text) return null;
  return (
    <div className="sample-extra">
      <h3>{title}</h3>
      <p>{text}</p>
    </div>
  );
}
