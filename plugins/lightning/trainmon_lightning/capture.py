"""Taking pictures, predictions and truth out of the real training step.

The batch is Lightning's and lives to the end of the step. What the model predicts does not: the
hooks here keep references while the step runs forward, and let go of them before it runs backward,
having copied at most what one picture shows, and that only of a step of which one is wanted.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from trainmon.adapters import TokenTexts
from trainmon.adapters.batches import (
    Part,
    SampleFinder,
    Samples,
    Where,
    is_array,
    is_whole,
    look_up,
    parts_of,
    same_size,
)
from trainmon_lightning.losses import LossCalls
from trainmon_lightning.texts import find_texts

__all__ = ["Overrides", "StepCapture"]

#: Predictions of a whole batch no larger than this are copied whole: the relay then checks each
#: sample's loss against the batch's: 64 samples of 1,000 classes.
_WHOLE_BYTES = 256 << 10
_MOST_SAMPLES = 16
_RETURNED = ("logits", "preds", "predictions", "y_hat", "y_pred", "outputs", "output", "pred")
#: How sure a prediction is.
_CHILD, _LOSS, _LOSS_OF_THE_TRUTH, _TOLD = 1, 2, 3, 4


@dataclass(frozen=True)
class Overrides:
    """Where the user says things are; None: they are looked for."""

    images: Where | None = None
    texts: Where | None = None
    outputs: Where | None = None
    targets: Where | None = None


@dataclass(frozen=True)
class _Prediction:
    name: str
    value: Any
    sureness: int
    truth: Any = None
    """The loss function's own target, where it is none of the batch."""


class _Keep:
    """Keeps what a module returned. A copy of the module, or its pickle, has one that does nothing.

    Scripts save and copy modules while they train, and such a file must load without trainmon.
    """

    def __init__(self, children: dict[str, Any], name: str) -> None:
        self._children = children
        self._name = name

    def __call__(self, _module: Any, _arguments: Any, output: Any) -> None:
        self._children.pop(self._name, None)  # so that the newest is the last
        self._children[self._name] = output

    def __deepcopy__(self, _memory: Any) -> Any:
        return nullcontext().__exit__

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (nullcontext(), "__exit__")  # takes what a hook is given, and answers None


class StepCapture:
    """What is taken of the steps of one fit.

    Args:
        overrides: Where the user says things are.
    """

    def __init__(self, overrides: Overrides) -> None:
        self._overrides = overrides
        self._finder = SampleFinder(overrides.images, overrides.targets)
        self._losses = LossCalls()
        self._children: dict[str, Any] = {}
        self._hooks: list[Any] = []
        # Our own generator: to draw from the user's would change what the training computes.
        self._random = random.Random()  # noqa: S311 - picks samples to show, keeps no secret
        self._wanted = False
        self._batch: Any = None
        self._samples = Samples()
        self._rows = slice(0, None)
        self._prediction: _Prediction | None = None
        self._backwards = 0
        self.chosen = ""
        """What the newest step's picture is made of, for people."""
        self.classes = 0
        """How many classes have names; 0: unknown."""
        self.decode: Callable[[Any], str] | None = None
        """Makes text of the token ids of a sample; None: unknown."""

    def install(self, module: Any) -> None:
        """Watch what the module's children return; before anything is compiled.

        Args:
            module: The LightningModule.
        """
        self.remove()
        for name, child in _watched(module):
            self._hooks.append(child.register_forward_hook(_Keep(self._children, name)))

    def remove(self) -> None:
        """Leave the module as it was."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self.forget()

    def begin(self, batch: Any, *, wanted: bool) -> None:
        """A training batch begins.

        Args:
            batch: As ``training_step`` gets it.
            wanted: Whether a picture is wanted of it.

        Raises:
            LookupError: The user named something that is not in the batch.
        """
        self.forget()
        self._losses.watch()
        self._wanted, self._batch = wanted, batch
        if wanted:
            self._samples = self._found(batch)
            if not self._samples.count:
                self.chosen = f"no samples are shown: no pictures or texts in {_told(batch)}"

    def _found(self, batch: Any) -> Samples:
        given = self._overrides
        found = self._finder.find(batch)
        if given.texts is None and found.count:
            return found
        return find_texts(batch, given.texts, given.targets, self.decode) or found

    def before_backward(self, *, several: bool) -> None:
        """The step has run forward: copy what is wanted, and let go of the rest.

        Args:
            several: Whether a step may run backward more than once, each time of other samples:
                manual optimisation.
        """
        try:
            shown = self._wanted and bool(self._samples.count)
            found = self._predicted(several=several) if shown else None
        finally:
            self.drop()
            if not several:
                # The optimizer may be stepped and the model saved before the batch ends: a pickle
                # that names one of these functions must find torch's own.
                self._losses.ignore()
            self._backwards += 1
        if found is not None:
            known = self._prediction
            if known is None or not several or found.sureness > known.sureness:
                self._take(found)
        known = self._prediction
        unsure = known is not None and known.sureness < _LOSS_OF_THE_TRUTH
        if several and self._backwards > 1 and unsure:
            # Of a GAN's steps none may be of the samples shown, unless the truth says so.
            self._prediction = None

    def finish(self, returned: Any, batch: Any) -> dict[str, Any] | None:
        """Return the BatchEvent's fields of the step that has ended, or None: there is nothing.

        Args:
            returned: What ``training_step`` returned, as Lightning hands it to callbacks.
            batch: As it is at the end of the step.

        Raises:
            LookupError: The user named something that was not returned.
        """
        if not self._wanted or not self._samples.count:
            return None
        if batch is not self._batch:
            self.chosen = (
                "no samples are shown: training_step takes its batches out of the loader itself"
            )
            return None
        if not self._backwards:
            self.before_backward(several=False)
        told = self._from_returned(returned)
        if told is not None:
            self._take(told)
        self._describe()
        return self._fields()

    def drop(self) -> None:
        """Let go of what modules returned and losses were given."""
        self._children.clear()
        self._losses.forget()

    def forget(self) -> None:
        """Let go of everything of the user's; until the next step no loss is looked at."""
        self._losses.ignore()
        self._wanted = False
        self._batch = None
        self._samples = Samples()
        self._prediction = None
        self._rows = slice(0, None)
        self._backwards = 0
        self.drop()

    # What the model predicts.

    def _predicted(self, *, several: bool) -> _Prediction | None:
        told = self._overrides.outputs
        if isinstance(told, str) and told in self._children:
            return _Prediction(told, _first_array(self._children[told]), _TOLD)
        fitting = [found for found in self._loss_arguments() if self._fits(found.value)]
        if not fitting and not several:
            fitting = [found for found in self._child_outputs() if self._fits(found.value)]
        return max(fitting, key=lambda found: found.sureness, default=None)

    def _loss_arguments(self) -> Iterator[_Prediction]:
        truth = self._samples.targets
        for name, first, second in self._losses.newest():
            if not (is_array(first) and is_array(second)):
                continue
            # Some write it the other way round.
            turned = not first.requires_grad and bool(second.requires_grad)
            prediction, target = (second, first) if turned else (first, second)
            if truth is not None and _same_memory(target, truth.value):
                yield _Prediction(f"{name}'s argument", prediction, _LOSS_OF_THE_TRUTH)
            elif not self._is_a_picture(target):
                own = target if truth is None else None
                yield _Prediction(f"{name}'s argument", prediction, _LOSS, own)

    def _child_outputs(self) -> Iterator[_Prediction]:
        """Return the last output of the samples: what came before it is only on the way to it."""
        for name, output in reversed(self._children.items()):
            value = _first_array(output)
            if is_array(value) and len(value.shape) and value.shape[0] == self._samples.count:
                if not self._is_of_other_classes(value):
                    yield _Prediction(name, value, _CHILD)
                return

    def _is_of_other_classes(self, value: Any) -> bool:
        """Return whether a guess has another number of columns than there are classes."""
        truth = self._samples.targets
        if truth is None or self.classes < 2 or len(value.shape) != 2 or value.shape[1] == 1:
            return False
        one_each = is_array(truth.value) and len(truth.value.shape) == 1 and is_whole(truth.value)
        return one_each and int(value.shape[1]) != self.classes

    def _from_returned(self, returned: Any) -> _Prediction | None:
        """Return the prediction among what ``training_step`` returned."""
        told = self._overrides.outputs
        if told is not None:
            if self._prediction is not None and self._prediction.sureness == _TOLD:
                return None
            return _Prediction("outputs= (as told)", look_up(returned, told), _TOLD)
        if isinstance(returned, Mapping):
            for name in filter(returned.__contains__, _RETURNED):
                value = _first_array(returned[name])
                if self._fits(value) and not is_whole(value):
                    return _Prediction(f"training_step's {name!r}", value, _TOLD)
        return None

    def _fits(self, value: Any) -> bool:
        """Return whether this may be a prediction of the samples."""
        if not is_array(value) or len(value.shape) == 0 or value.shape[0] != self._samples.count:
            return False
        images = self._samples.images
        # A picture of the picture's size is a reconstruction, which has no place on a tile.
        if images is not None and self._is_a_picture(value) and not self._is_a_mask():
            return False
        return len(value.shape) <= 2 or self._is_a_mask()

    def _is_a_picture(self, value: Any) -> bool:
        images = self._samples.images
        return images is not None and is_array(images.value) and same_size(value, images.value)

    def _is_a_mask(self) -> bool:
        truth = self._samples.targets
        return truth is not None and is_array(truth.value) and len(truth.value.shape) >= 3

    def _take(self, found: _Prediction) -> None:
        """Copy a prediction: all of a small batch, else of as many samples as are shown."""
        value = found.value.detach()
        if len(value.shape) > 2 or value.numel() * value.element_size() > _WHOLE_BYTES:
            self._rows = self._window()
            value = value[self._rows]
        else:
            self._rows = slice(0, None)
        truth = found.truth.detach()[self._rows].clone() if found.truth is not None else None
        self._prediction = _Prediction(found.name, value.clone(), found.sureness, truth)

    def _window(self) -> slice:
        """Return as many samples in a row as are shown, for a slice of an array is no copy."""
        if self._rows.stop is not None:
            return self._rows
        spare = max(0, self._samples.count - _MOST_SAMPLES)
        start = self._random.randint(0, spare)
        return slice(start, start + _MOST_SAMPLES)

    # What goes to the session.

    def _fields(self) -> dict[str, Any]:
        samples, predicted, rows = self._samples, self._prediction, self._rows
        fields: dict[str, Any] = {"batch_size": samples.count}
        if samples.images is not None:
            fields["images"] = _rows_of(samples.images.value, rows)
        if samples.texts is not None:
            fields["texts"] = _rows_of(samples.texts.value, rows)
        if predicted is not None:
            fields["outputs"] = predicted.value
        if samples.boxes is not None:
            fields["target_boxes"] = samples.boxes.value[rows]
        if samples.targets is not None:
            fields["targets"] = _rows_of(samples.targets.value, rows)
        elif predicted is not None and predicted.truth is not None:
            fields["targets"] = predicted.truth
        return fields

    def _describe(self) -> None:
        samples, predicted = self._samples, self._prediction
        shown = samples.images or samples.texts
        kind = "images" if samples.images is not None else "texts"
        told = [f"{kind}: {shown.path if shown else 'none found'}"]
        told.append(f"predictions: {_described(predicted)}")
        told.append(f"truth: {self._truth_told(samples.boxes or samples.targets)}")
        if predicted is not None and self._rows.stop is not None:
            # Only with the rest of the batch could it be checked against the batch's loss.
            why = "masks" if len(predicted.value.shape) > 2 else f"over {_WHOLE_BYTES >> 10} KiB"
            told.append(f"loss of each sample: not shown, predictions are {why}")
        self.chosen = "; ".join(told)

    def _truth_told(self, part: Part | None) -> str:
        if part is not None:
            return part.path
        predicted = self._prediction
        return "the loss's target" if predicted and predicted.truth is not None else "none found"


def _watched(module: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Return the children of a module that are called; lists of modules are only held."""
    from torch import nn

    for name, child in module.named_children():
        if isinstance(child, (nn.ModuleList, nn.ModuleDict)):
            yield from _watched(child, f"{prefix}{name}.")
        elif not _is_no_part_of_the_model(child):
            yield f"{prefix}{name}", child


def _is_no_part_of_the_model(child: Any) -> bool:
    """Return whether this is a loss or a torchmetrics metric, which a script keeps as children."""
    is_metric = callable(getattr(child, "update", None)) and callable(
        getattr(child, "compute", None)
    )
    return is_metric or type(child).__name__.endswith("Loss")


def _first_array(output: Any) -> Any:
    """Return an array, or the likeliest of what a module returned."""
    if is_array(output) or output is None:
        return output
    for name in ("logits", *_RETURNED):
        named = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if is_array(named):
            return named
    if isinstance(output, (tuple, list)):
        return next((each for each in output if is_array(each)), None)
    return None


def _same_memory(one: Any, other: Any) -> bool:
    """Return whether two tensors are of the same numbers: one may be a view of the other."""
    try:
        return bool(one.data_ptr() == other.data_ptr())
    except (AttributeError, RuntimeError):  # no tensor, or one without memory of its own
        return one is other


def _told(batch: Any) -> str:
    """Return what is in a batch, for people."""
    parts = [
        f"{part.path} of {'×'.join(str(edge) for edge in part.value.shape) or 'one number'}"
        for part in parts_of(batch)[:4]
        if is_array(part.value)
    ]
    return ", ".join(parts) or f"a batch that is a {type(batch).__name__}"


def _rows_of(value: Any, rows: slice) -> Any:
    if rows.stop is None:
        return value
    if isinstance(value, TokenTexts):
        return TokenTexts(value.ids[rows], value.decode)
    return value[rows]


def _described(predicted: _Prediction | None) -> str:
    if predicted is None:
        return "none found"
    return f"{predicted.name} → {'×'.join(str(edge) for edge in predicted.value.shape)}"
