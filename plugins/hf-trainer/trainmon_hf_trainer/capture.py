"""What is kept of a training step for showing it, and what is made of it.

Nothing is kept unless a picture is due. Inputs are kept by reference, for the Trainer holds them as
long, and with their version, so that one that was changed in place is not shown as something else.
Of outputs only what is small, or a few rows, outlives the forward pass.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainmon.adapters.batches import find_samples, look_up
from trainmon.events import BatchEvent, FrameRequest
from trainmon_hf_trainer.boxes import predicted_boxes, true_boxes
from trainmon_hf_trainer.text import TextReader

if TYPE_CHECKING:
    from trainmon_hf_trainer.words import Words

__all__ = ["Captured", "Choice", "Sampler"]

#: Outputs up to this size are kept whole until the step ends; of larger ones a few rows are copied.
_MOST_BYTES = 1 << 20
#: Pixels along a copied map's longer edge that are enough.
_MAP_EDGE = 128
_CHANNELS = (1, 3, 4)
_NO_SAMPLE_LOSSES = (
    "losses of single samples are not shown: of batches of many texts, and of predictions of more "
    "than 1 MiB, a few rows are copied, and whether their losses are the batch's cannot be seen"
)
_OVERRIDE = 'TrainmonCallback(images="…", predictions="…", truth="…")'


@dataclass(frozen=True)
class Choice:
    """Keys of the inputs and of the model's output that the user named; empty: find it."""

    images: str = ""
    predictions: str = ""
    truth: str = ""


@dataclass
class Captured:
    """What was kept of one step.

    Attributes:
        size: Samples in the batch.
        rows: The samples that were chosen; None: all of them, and the session chooses.
        predictions: Of these samples.
        boxes: That the model found.
        ends: First and last place of the answer that the model points out in each text.
        words: Of a model that says or tags words.
        worded: Whether it is one.
        heard: Whether the model was called.
    """

    sampler: Sampler
    request: FrameRequest
    inputs: dict[str, Any]
    versions: dict[str, int]
    size: int = 0
    rows: list[int] | None = None
    predictions: Any = None
    boxes: list[dict[str, Any]] | None = None
    ends: tuple[Any, Any] | None = None
    words: Words | None = None
    worded: bool = False
    heard: bool = False

    def samples(self) -> BatchEvent | None:
        """Return what the page is to show of this step; None: nothing."""
        return self.sampler.event(self)


class Sampler:
    """Finds pictures or text, predictions and truth in the batches of one training.

    Args:
        trainer: Whose batches.
        choice: What the user said of them.
        say: Tells people once what was chosen and what cannot be known.
    """

    def __init__(self, trainer: Any, choice: Choice, say: Callable[[str], None]) -> None:
        self._trainer = trainer
        self._choice = choice
        self._say = say
        self._text = TextReader(trainer, say)
        # Our own generator: to draw from the user's would change what the training computes.
        self._random = random.Random()  # noqa: S311 - it chooses samples, it keeps no secret
        self._copies_first = False
        self._unnamed_truth = ""
        self._said: set[tuple[str, ...]] = set()

    # While the step runs.

    def begin(self, inputs: Mapping[str, Any], request: FrameRequest) -> Captured:
        """Keep the inputs of a step of which a picture is due."""
        captured = Captured(self, request, dict(inputs), {})
        self._look_deeper(captured.inputs)
        images = self._images_of(captured.inputs)
        first = images or self._text.key(captured.inputs)
        if first:
            captured.size = len(captured.inputs[first])
        if images and self._copies_first:
            self._choose_rows(captured)
            captured.inputs[images] = _rows(captured.inputs[images], captured.rows).clone()
        captured.versions = {
            name: value._version  # noqa: SLF001 - torch's documented count of changes in place
            for name, value in captured.inputs.items()
            if hasattr(value, "_version") and not value.is_inference()
        }
        return captured

    def forwarded(self, captured: Captured, given: Mapping[str, Any], output: Any) -> None:
        """Keep what is needed of the model's output.

        Args:
            captured: The step.
            given: What the model was called with, which fills in what the inputs lack.
            output: What it returned.
        """
        captured.heard = True
        for name, value in given.items():
            captured.inputs.setdefault(name, value)
        images = self._images_of(captured.inputs)
        predictions = _part(output, self._choice.predictions or "logits")
        truth = self._truth_of(captured.inputs)
        if self._text.reads(captured.inputs, predictions, truth, pictures=bool(images)):
            captured.worded = True
            captured.words = self._text.words(
                captured.inputs, predictions, truth, pictures=bool(images)
            )
        elif images and truth is not None and _are_boxes(truth):
            self._choose_rows(captured)
            captured.boxes = predicted_boxes(
                output,
                captured.rows or range(captured.size),
                truth,
                captured.inputs[images].shape,
                _classes_of(self._trainer.model),
            )
        elif not images and isinstance(output, Mapping) and "start_logits" in output:
            captured.ends = _ends(output)
        elif predictions is not None and len(predictions) == captured.size:
            captured.predictions = self._kept(captured, predictions, text=not images)

    def _kept(self, captured: Captured, predictions: Any, *, text: bool) -> Any | None:
        """Return predictions that may outlive the forward pass."""
        if predictions.ndim == 3:
            return None  # of every token they are in the words, of every patch they are no classes
        predictions = predictions.detach()
        large = predictions.numel() * predictions.element_size() > _MOST_BYTES
        if large or text:
            self._choose_rows(captured)
            if captured.rows is not None:
                self._say(_NO_SAMPLE_LOSSES)
        if not large:
            return _rows(predictions, captured.rows)
        if predictions.ndim == 4:
            stride = max(1, max(predictions.shape[2:]) // _MAP_EDGE)
            predictions = predictions[:, :, ::stride, ::stride]
        kept = _rows(predictions, captured.rows)
        return kept if captured.rows else kept.clone()

    def _choose_rows(self, captured: Captured) -> None:
        most = captured.request.max_samples
        if captured.rows is None and captured.size > most:
            captured.rows = sorted(self._random.sample(range(captured.size), most))

    # When the step has ended.

    def event(self, captured: Captured) -> BatchEvent | None:
        """Return what is to be shown of a step; None: nothing."""
        images = self._images_of(captured.inputs)
        if images:
            return self._pictures(captured, images)
        key = self._text.key(captured.inputs)
        if captured.words is not None:
            self._say_what_was_chosen(key, captured, captured.words.labels)
            return self._text.event(captured.words, captured.size)
        if key and captured.heard and not captured.worded:
            return self._texts(captured, key)
        if not key:
            self._say_nothing_to_show(captured.inputs)
        return None

    def _pictures(self, captured: Captured, key: str) -> BatchEvent | None:
        images = captured.inputs[key]
        if self._changed(captured, key):
            self._copies_first = True
            self._say(
                f"the model changes {key} in place: from now on its pictures are copied before "
                "each step that is shown"
            )
            return None
        if len(images) == captured.size:
            images = _rows(images, captured.rows)
        if images.ndim == 5:  # several pictures or a film a sample: the one in the middle
            images = images[:, images.shape[1] // 2]
        truth = self._truth_of(captured.inputs)
        shown: dict[str, Any] = {"images": images, "batch_size": captured.size}
        if captured.worded:
            if captured.words is not None and len(captured.words.labels) == len(images):
                shown.update(self._text.told(captured.words))
        elif truth is not None and _are_boxes(truth):
            rows = captured.rows or range(captured.size)
            shown["target_boxes"] = true_boxes(truth, rows, captured.inputs[key].shape)
            shown["output_boxes"] = captured.boxes
        else:
            truth = self._targets(captured, truth)
            shown["outputs"], shown["targets"] = captured.predictions, truth
        self._say_what_was_chosen(key, captured, truth)
        return BatchEvent(**shown)

    def _texts(self, captured: Captured, key: str) -> BatchEvent | None:
        """Return texts that are classified as a whole, or in which an answer is pointed out."""
        texts = self._text.decoded(_rows(captured.inputs[key], captured.rows))
        if texts is None:
            return None
        truth = self._truth_of(captured.inputs)
        self._say_what_was_chosen(key, captured, truth)
        if captured.ends is not None:
            return self._answers(captured, key, texts)
        return BatchEvent(
            texts=texts,
            outputs=captured.predictions,
            targets=self._targets(captured, truth),
            batch_size=captured.size,
        )

    def _answers(self, captured: Captured, key: str, texts: Any) -> BatchEvent:
        ids, inputs = captured.inputs[key], captured.inputs
        true = (inputs.get("start_positions"), inputs.get("end_positions"))
        shown: dict[str, Any] = {"texts": texts, "batch_size": captured.size}
        for name, ends in (("output_texts", captured.ends), ("target_texts", true)):
            if ends is not None and all(getattr(each, "ndim", 0) == 1 for each in ends):
                shown[name] = self._text.span(ids, *ends)
        return BatchEvent(**shown)

    def _targets(self, captured: Captured, truth: Any) -> Any | None:
        if not hasattr(truth, "ndim") or not truth.ndim or len(truth) != captured.size:
            return None
        truth, said = _rows(truth, captured.rows), captured.predictions
        # Several numbers a sample are classes or values only if the model says as many.
        if truth.ndim == 2 and (said is None or said.numel() != truth.numel()):
            return None
        return truth

    def _changed(self, captured: Captured, key: str) -> bool:
        version = captured.versions.get(key)
        return version is not None and captured.inputs[key]._version != version  # noqa: SLF001 - as above

    # Finding.

    def _look_deeper(self, inputs: dict[str, Any]) -> None:
        """Add what a model of the user's own takes within a mapping, or under a name of its own.

        Names come first: what transformers calls labels is known, while its masks and positions
        would pass for truth. So what only looks like samples is not taken where names tell.
        """
        told = [where for where in (self._choice.images, self._choice.truth) if where]
        for where in told:
            if where not in inputs:
                with suppress(LookupError):  # then it is said that there are none
                    inputs[where] = look_up(inputs, where)
        if told:
            return
        shown = self._images_of(inputs) or self._text.key(inputs)
        named = getattr(self._trainer, "label_names", None) or self._truth_of(inputs) is not None
        if shown and named:
            return
        found = find_samples(inputs)
        if not shown and found.images is not None:
            inputs.setdefault(found.images.path, found.images.value)
        if not named and found.targets is not None and self._images_of(inputs):
            self._unnamed_truth = found.targets.path
            inputs.setdefault(found.targets.path, found.targets.value)

    def _images_of(self, inputs: Mapping[str, Any]) -> str:
        """Return the key of the pictures; empty where there are none."""
        if self._choice.images:
            return self._choice.images if self._choice.images in inputs else ""
        if _is_pictures(inputs.get("pixel_values")):
            return "pixel_values"
        # What a model is to restore of its pictures is named as their truth.
        truths = set(self._truth_names())
        return next((n for n in inputs if n not in truths and _is_pictures(inputs[n])), "")

    def _truth_names(self) -> Sequence[str]:
        if self._choice.truth:
            return (self._choice.truth,)
        known = getattr(self._trainer, "label_names", None) or ()
        return (*known, "labels", "label", self._unnamed_truth)

    def _truth_of(self, inputs: Mapping[str, Any]) -> Any | None:
        name = self._truth_name(inputs)
        return inputs[name] if name else None

    def _truth_name(self, inputs: Mapping[str, Any]) -> str:
        images = self._images_of(inputs)
        given = (name for name in self._truth_names() if inputs.get(name) is not None)
        return next((name for name in given if name != images), "")

    # Telling.

    def _say_what_was_chosen(self, key: str, captured: Captured, truth: Any) -> None:
        predictions = captured.predictions
        if captured.boxes is not None:
            said = "boxes"
        elif captured.ends is not None:
            said = "start_logits and end_logits"
        elif captured.words is not None:
            words = captured.words
            said = "none found" if words.losses is words.spoken is None else "words"
        elif predictions is not None:
            said = (
                f"{self._choice.predictions or 'logits'} → {'×'.join(map(str, predictions.shape))}"
            )
        else:
            said = "none found"
        what = (self._truth_name(captured.inputs) if truth is not None else "") or "none found"
        kind = (key, said.partition(" → ")[0], what)
        if kind in self._said:  # the last batch, and texts, are of other sizes
            return
        self._said.add(kind)
        self._say(f"shown: {key}; predictions: {said}; truth: {what}. Otherwise: {_OVERRIDE}")

    def _say_nothing_to_show(self, inputs: Mapping[str, Any]) -> None:
        self._say(
            f"no pictures and no text among the inputs ({', '.join(map(str, inputs)) or 'none'}): "
            f"losses, rates and controls are shown, samples are not. If there are: {_OVERRIDE}"
        )


def _rows(value: Any, rows: Sequence[int] | None) -> Any:
    if rows is None:
        return value
    if getattr(getattr(value, "device", None), "type", "cpu") == "cpu":
        return value[list(rows)]
    import torch

    # On an accelerator row numbers would have to be there first, and to bring them waits.
    return torch.stack([value[row] for row in rows])


def _part(output: Any, name: str) -> Any | None:
    """Return the predictions in what a model returned."""
    if isinstance(output, Mapping):
        found = output.get(name)
    elif isinstance(output, (tuple, list)):
        arrays = [each for each in output if getattr(each, "ndim", 0)]
        found = arrays[0] if arrays else None
    else:
        found = getattr(output, name, output)
    return found if getattr(found, "ndim", 0) else None


def _is_pictures(value: Any) -> bool:
    shape: Sequence[int] = getattr(value, "shape", ())
    if len(shape) not in (4, 5) or not hasattr(value, "is_floating_point"):
        return False
    if not (value.is_floating_point() or str(value.dtype) == "torch.uint8"):
        return False
    return shape[-3] in _CHANNELS or shape[-1] in _CHANNELS


def _are_boxes(truth: Any) -> bool:
    return (
        isinstance(truth, Sequence)
        and bool(truth)
        and isinstance(truth[0], Mapping)
        and "boxes" in truth[0]
    )


def _classes_of(model: Any) -> int | None:
    count = getattr(getattr(model, "config", None), "num_labels", None)
    return count if isinstance(count, int) else None


def _ends(output: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the first and the last place of the answer that the model points out, (B,) each."""
    first, last = output["start_logits"], output["end_logits"]
    return first.detach().argmax(-1), last.detach().argmax(-1)
