"""What a step returns beside its logs: at most 16 rows of each part, and a few numbers.

Made while the step is traced, from what the step itself computed: no second forward pass, no
variables, no calls back into Python, and the same graph whether anyone watches or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import keras

from trainmon_keras.backends import Backend
from trainmon_keras.boxes import corners, find_boxes
from trainmon_keras.choose import Leaf, Pick, pictures, tokens, truth_and_prediction

__all__ = ["SCALARS", "Choice", "Seen", "make_extras"]

#: Extras that are one number each; of the others, there are up to 16 rows.
SCALARS = frozenset({"loss", "learning_rate", "mean_loss"})
#: Pictures are shown at 512 pixels at most, and mostly at 128: larger ones are returned strided.
_MOST_EDGE = 256
#: What one sample may weigh, as the core takes it: of outputs, truths and losses, and of masks.
_MOST_BYTES = 1 << 17
_MOST_MASK_BYTES = 1 << 22


@dataclass(frozen=True)
class Choice:
    """What the user said is to be shown; None: told from the shapes."""

    images: Pick = None
    targets: Pick = None
    outputs: Pick = None
    box_format: str = ""
    """How boxes are told; empty: as the model says, else ``xyxy``."""


@dataclass
class Seen:
    """What was seen of one step while it was traced."""

    place: Any
    idle: bool = False
    """Whether no picture is due: of a step that runs eagerly, only the loss leaves it."""
    values: dict[str, Any] = field(default_factory=dict)
    """By role: x, y, y_pred, sample_weight, loss."""

    def note(self, backend: Backend, **values: Any) -> None:
        """Keep values that may be outputs of the step."""
        for role, value in values.items():
            parts = keras.tree.flatten(value)
            if value is not None and all(backend.belongs(part, self.place) for part in parts):
                self.values[role] = value


def make_extras(
    model: Any,
    backend: Backend,
    seen: Seen,
    choice: Choice,
    turn: Any,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Return the extra outputs of a step, and say once what was chosen.

    Args:
        model: The Keras model.
        backend: Keras' backend.
        seen: What the step computed.
        choice: What the user said.
        turn: A count of steps, by which other rows are taken each time; None: none is known.
        say: Tells people.
    """
    values = seen.values
    told_boxes = choice.box_format or getattr(model, "bounding_box_format", "") or "xyxy"
    parts = _parts(values, replace(choice, box_format=told_boxes), say)
    extras: dict[str, Any] = {}
    if "loss" in values:
        extras["loss"] = _number(values["loss"])
    if parts:
        size = backend.size(next(iter(parts.values())).value)
        rows = backend.rows(size, turn)
        for role, leaf in parts.items():
            extras[role] = backend.take(_smaller(leaf), rows)
        extras["size"] = size
        losses = _sample_losses(model, values)
        if losses is not None:
            extras["sample_losses"] = backend.take(losses, rows)
            extras["mean_loss"] = keras.ops.mean(losses)
    return extras


def _number(value: Any) -> Any:
    value = keras.ops.stop_gradient(keras.ops.convert_to_tensor(value))
    return keras.ops.mean(value) if len(value.shape) else value


def _parts(
    values: Mapping[str, Any], choice: Choice, say: Callable[[str], None]
) -> dict[str, Leaf]:
    """Return the arrays that are shown, by role."""
    found: dict[str, Leaf | None] = {}
    try:
        found["images"] = pictures(values.get("x"), choice.images)
        if found["images"] is None and choice.images is not False:
            found["texts"] = tokens(values.get("x"))
        y, y_pred = values.get("y"), values.get("y_pred")
        truth, predicted = truth_and_prediction(y, y_pred, choice.targets, choice.outputs)
        found["targets"], found["outputs"] = truth, predicted
        if found["images"] is not None and choice.targets is None and find_boxes(y) is not None:
            # Numbers of a detector's step are no prediction of the picture.
            found["outputs"] = found["outputs"] if choice.outputs is not None else None
            found["targets"] = None
            found.update(_boxes(y, found["images"], choice.box_format))
    except ValueError as error:
        say(f"what was chosen to be shown cannot be: {error}")
    shown = {role: leaf for role, leaf in found.items() if leaf is not None and _fits(leaf, role)}
    if "images" not in shown and "texts" not in shown:
        say(
            "no pictures were found in x, so none are shown: say where they are, "
            "TrainmonCallback(images=lambda x: ...)"
        )
    told = "; ".join(f"{role}: {_told(leaf)}" for role, leaf in shown.items())
    missing = (
        ""
        if {"outputs", "boxes"} & shown.keys()
        else "; outputs: not known (this step's are not seen)"
    )
    say(
        f"shown are {told or 'numbers only'}{missing}; TrainmonCallback(images=..., targets=..., "
        "outputs=...) shows others: each a key of x, y or y_pred, a function of it, or False"
    )
    return shown


def _boxes(y: Any, images: Leaf, told: str) -> dict[str, Leaf | None]:
    """Return the true boxes in pixels of the picture that is returned, and their labels.

    Raises:
        ValueError: There is no such format, or the pictures' size is needed and not known.
    """
    boxes = find_boxes(y)
    if boxes is None:
        return {}
    stride, first = _stride(images)
    height, width = images.shape[2:4] if first else images.shape[1:3]
    edges = corners(boxes, told, height, width) / stride
    return {"boxes": Leaf(f"{boxes.boxes.path} as {told}", edges), "box_labels": boxes.labels}


def _told(leaf: Leaf) -> str:
    sizes = ", ".join(["B", *("?" if each is None else str(each) for each in leaf.shape[1:])])
    return f"{leaf.path} ({sizes})"


def _fits(leaf: Leaf, role: str) -> bool:
    """Return whether a sample is small enough to be returned by every step."""
    if role == "images":
        return True
    count = 1
    for size in _strided(leaf):
        count *= size or 1
    return count * 4 <= (_MOST_MASK_BYTES if len(leaf.shape) >= 3 else _MOST_BYTES)


def _stride(leaf: Leaf) -> tuple[int, bool]:
    """Return the stride at which a picture or mask is taken, and whether its channels are first."""
    shape = leaf.shape
    if len(shape) not in (3, 4) or (len(shape) == 3 and leaf.kind == "float"):
        return 1, False
    first = len(shape) == 4 and shape[1] in (1, 3, 4) and shape[3] not in (1, 3, 4)
    edges = [edge or 0 for edge in (shape[2:4] if first else shape[1:3])]
    longer = max(edges)
    return (1 if longer <= _MOST_EDGE else (longer - 1) // (_MOST_EDGE - 1)), first


def _strided(leaf: Leaf) -> list[int | None]:
    stride, first = _stride(leaf)
    edges = (1, 2) if first else (0, 1)
    return [
        -(-size // stride) if size and stride > 1 and index in edges else size
        for index, size in enumerate(leaf.shape[1:])
    ]


def _smaller(leaf: Leaf) -> Any:
    stride, first = _stride(leaf)
    if stride == 1:
        return leaf.value
    if first:
        return leaf.value[:, :, ::stride, ::stride]
    return leaf.value[:, ::stride, ::stride]


def _sample_losses(model: Any, values: Mapping[str, Any]) -> Any:
    """Return Keras' own loss of each sample, (B,); None where the loss is not one of Keras' own.

    Whether their mean is the batch's loss is looked at where both are numbers.
    """
    y, y_pred = values.get("y"), values.get("y_pred")
    loss = _unreduced(getattr(model, "loss", None))
    if loss is None or not _is_array(y) or not _is_array(y_pred):
        return None
    weight = values.get("sample_weight")
    y, y_pred = keras.ops.stop_gradient(y), keras.ops.stop_gradient(y_pred)
    losses = loss(y, y_pred, weight) if _is_array(weight) else loss(y, y_pred)
    axes = tuple(range(1, len(losses.shape)))
    return keras.ops.mean(losses, axis=axes) if axes else losses


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _unreduced(loss: Any) -> Any:
    if not isinstance(loss, (str, keras.losses.Loss)):
        return None
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
        if not isinstance(loss, keras.losses.Loss):
            return _Plain(loss)
    if not type(loss).__module__.startswith("keras."):
        return None
    return type(loss).from_config({**loss.get_config(), "reduction": None})


class _Plain(keras.losses.Loss):  # type: ignore[misc] # keras has no types
    """One of Keras' loss functions, of each sample."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        super().__init__(name="trainmon", reduction=None)
        self._function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if len(y_true.shape) == len(y_pred.shape) - 1 and y_pred.shape[-1] == 1:
            y_true = keras.ops.expand_dims(y_true, -1)
        return self._function(y_true, y_pred)
