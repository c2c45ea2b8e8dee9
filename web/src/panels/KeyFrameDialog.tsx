import { type FormEvent, useEffect, useRef, useState } from "react";
import type { Failure } from "../rpc/failure";
import type { BatchData } from "../rpc/plain";
import { preferences } from "../runtime/preferences";
import { formatCount, formatValue } from "../store/format";
import { samplesOf } from "../store/tiles";
import { useRun, useView } from "../ui/hooks";
import { Modal } from "../ui/Modal";
import { type Art, decodeArt, judged, releaseArt } from "../wall/art";
import { readPalette } from "../wall/colours";
import { paintWall } from "../wall/painter";

type Found = { batch: BatchData } | { problem: string } | undefined;

/** The samples that were kept nearest to a step: what the model saw and said then. */
export function KeyFrameDialog(props: { step: number; onClose: () => void }) {
  const [step, setStep] = useState(props.step);
  const [draft, setDraft] = useState(String(props.step));
  const found = useKeyFrame(step);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (/^\d{1,15}$/.test(draft.trim())) setStep(Number(draft));
  };
  return (
    <Modal label="Samples kept near a step" className="key-frame" closable onClose={props.onClose}>
      <h2>Look back</h2>
      <form className="control-row" onSubmit={submit}>
        <input
          className="input"
          inputMode="numeric"
          aria-label="Global step"
          value={draft}
          onChange={(event) => setDraft(event.target.value)}
        />
        <button type="submit" className="button">
          Show
        </button>
      </form>
      <KeyFrame found={found} />
    </Modal>
  );
}

function KeyFrame({ found }: { found: Found }) {
  if (found === undefined) return <p className="nothing">Asking the monitor…</p>;
  if ("problem" in found) return <p className="control-problem">{found.problem}</p>;
  const { batch } = found;
  return (
    <>
      <p className="key-frame-words">
        Step <b>{formatCount(batch.globalStep)}</b>, epoch {batch.epoch + 1}, batch{" "}
        {batch.batchIndex + 1}, loss <b>{formatValue(batch.batchLoss)}</b>
      </p>
      <StillWall batch={batch} />
    </>
  );
}

/** Ask for the key frame nearest a step; a later question overtakes an earlier one. */
function useKeyFrame(step: number): Found {
  const run = useRun();
  const [found, setFound] = useState<Found>();
  useEffect(() => {
    let asked = true;
    setFound(undefined);
    const request = {
      sessionId: run.sessionId,
      step: BigInt(step),
      timestampMs: BigInt(Date.now()),
    };
    run.connection
      .call("getBatch", request)
      .then((batch) => asked && setFound({ batch }))
      .catch((failure: Failure) => asked && setFound({ problem: failure.message }));
    return () => {
      asked = false;
    };
  }, [run, step]);
  return found;
}

/** One batch on a canvas, painted once. */
function StillWall({ batch }: { batch: BatchData }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const names = useView().registration?.classNames;
  useEffect(() => {
    let shown = true;
    void decodeAll(batch).then((art) => {
      const element = canvas.current;
      if (shown && element) paintStill(element, batch, art, names ?? []);
      for (const one of art.values()) releaseArt(one);
    });
    return () => {
      shown = false;
    };
  }, [batch, names]);
  return <canvas ref={canvas} className="still-wall" role="img" aria-label="The samples kept" />;
}

async function decodeAll(batch: BatchData): Promise<Map<string, Art>> {
  const art = new Map<string, Art>();
  await Promise.all(
    samplesOf(batch).map(async (sample) => art.set(sample.key, await decodeArt(sample))),
  );
  return art;
}

function paintStill(
  canvas: HTMLCanvasElement,
  batch: BatchData,
  art: Map<string, Art>,
  classNames: string[],
): void {
  const scale = Math.min(2, devicePixelRatio);
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext("2d", { alpha: false });
  context?.setTransform(scale, 0, 0, scale, 0, 0);
  const { overlay } = preferences.get();
  const scene = {
    slots: judged(samplesOf(batch), art),
    art,
    classNames,
    palette: readPalette(),
    overlay,
  };
  if (context) paintWall(context, width, height, scene);
}
