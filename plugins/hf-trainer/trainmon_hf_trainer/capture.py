"""What is kept of a training step for showing it, and what is made of it.

Nothing is kept unless a picture is due. Inputs are kept by reference, for the Trainer holds them as
long, and with their version, so that one that was changed in place is not shown as something else.
Of outputs only what is small, or a few rows, outlives the forward pass.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    """

    sampler: Sampler
    request: FrameRequest
    inputs: dict[str, Any]
    versions: dict[str, int]
    size: int = 0
    rows: list[int] | None = None
    predictions: Any = None
    boxes: list[dict[str, Any]] | None = None
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

    # While the step runs.

    def begin(self, inputs: Mapping[str, Any], request: FrameRequest) -> Captured:
        """Keep the inputs of a step of which a picture is due."""
        captured = Captured(self, request, dict(inputs), {})
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
            captured.words = self._text.words(captured.inputs, predictions, truth)
            if not images:
                return
        if images and truth is not None and _are_boxes(truth):
            self._choose_rows(captured)
            captured.boxes = predicted_boxes(
                output, captured.rows or range(captured.size), truth, captured.inputs[images].shape
            )
        elif predictions is not None and len(predictions) == captured.size:
            captured.predictions = self._kept(captured, predictions, text=not images)

    def _kept(self, captured: Captured, predictions: Any, *, text: bool) -> Any | None:
        """Return predictions that may outlive the forward pass."""
        predictions = predictions.detach()
        large = predictions.numel() * predictions.element_size() > _MOST_BYTES
        if (large or text) and captured.rows is None:
            self._choose_rows(captured)
        if not large:
            return _rows(predictions, captured.rows) if captured.rows else predictions
        if predictions.ndim == 3:
            return None  # numbers for every token: what of them can be shown is in the words
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
        if captured.words is not None:
            return self._text.event(captured.words, captured.size)
        key = self._text.key(captured.inputs)
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
        if captured.words is not None:
            captured.words.choose(captured.rows, len(images))
            shown.update(self._text.told(captured.words))
        elif truth is not None and _are_boxes(truth):
            rows = captured.rows or range(captured.size)
            shown["target_boxes"] = true_boxes(truth, rows, captured.inputs[key].shape)
            shown["output_boxes"] = captured.boxes
        else:
            shown["outputs"] = captured.predictions
            shown["targets"] = self._targets(captured, truth)
        self._say_what_was_chosen(key, captured, truth)
        return BatchEvent(**shown)

    def _texts(self, captured: Captured, key: str) -> BatchEvent | None:
        """Return texts that are classified as a whole."""
        rows = captured.rows or list(range(captured.size))
        texts = self._text.decoded(captured.inputs[key], rows)
        if texts is None:
            return None
        truth = self._truth_of(captured.inputs)
        self._say_what_was_chosen(key, captured, truth)
        return BatchEvent(
            texts=texts,
            outputs=captured.predictions,
            targets=self._targets(captured, truth),
            batch_size=captured.size,
        )

    def _targets(self, captured: Captured, truth: Any) -> Any | None:
        if not hasattr(truth, "ndim") or not truth.ndim or len(truth) != captured.size:
            return None
        return _rows(truth, captured.rows)

    def _changed(self, captured: Captured, key: str) -> bool:
        version = captured.versions.get(key)
        return version is not None and captured.inputs[key]._version != version  # noqa: SLF001 - as above

    # Finding.

    def _images_of(self, inputs: Mapping[str, Any]) -> str:
        """Return the key of the pictures; empty where there are none."""
        if self._choice.images:
            return self._choice.images if self._choice.images in inputs else ""
        names = ("pixel_values", *(name for name in inputs if name != "pixel_values"))
        truths = set(self._truth_names())
        for name in names:
            if name not in truths and _is_pictures(inputs.get(name)):
                return name
        return ""

    def _truth_names(self) -> Sequence[str]:
        if self._choice.truth:
            return (self._choice.truth,)
        return (*(getattr(self._trainer, "label_names", None) or ()), "labels", "label")

    def _truth_of(self, inputs: Mapping[str, Any]) -> Any | None:
        names = self._truth_names()
        return next((inputs[name] for name in names if inputs.get(name) is not None), None)

    # Telling.

    def _say_what_was_chosen(self, key: str, captured: Captured, truth: Any) -> None:
        predictions = captured.predictions
        if captured.boxes is not None:
            said = "boxes"
        elif captured.words is not None:
            said = "words"
        elif predictions is not None:
            said = (
                f"{self._choice.predictions or 'logits'} → {'×'.join(map(str, predictions.shape))}"
            )
        else:
            said = "none found"
        names = [name for name in self._truth_names() if captured.inputs.get(name) is not None]
        what = names[0] if truth is not None and names else "none found"
        self._say(f"shown: {key}; predictions: {said}; truth: {what}. Otherwise: {_OVERRIDE}")

    def _say_nothing_to_show(self, inputs: Mapping[str, Any]) -> None:
        self._say(
            f"no pictures and no text among the inputs ({', '.join(map(str, inputs)) or 'none'}): "
            f"losses, rates and controls are shown, samples are not. If there are: {_OVERRIDE}"
        )


def _rows(value: Any, rows: Sequence[int] | None) -> Any:
    return value if rows is None else value[list(rows)]


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
        # Choosing boxes on an accelerator would make the training wait for it.
        and getattr(getattr(truth[0]["boxes"], "device", None), "type", "cpu") == "cpu"
    )
