"""Which part of a batch is the picture, which the truth, which the prediction.

Told from shapes and types alone, so that it can be told while a step is traced. A batch's x, y and
y_pred may be arrays or nested dicts, lists and tuples of them; B is the batch's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Leaf", "Pick", "leaves", "picture_shape", "pictures", "tokens", "truth_and_prediction"]

Pick = Callable[[Any], Any] | str | int | bool | None
"""What a user says of x, y or y_pred: key, index, function; False: none, None: ours."""

_CHANNELS = (1, 3, 4)
_LEAST_EDGE = 8
_MOST_ASPECT = 4


@dataclass(frozen=True)
class Leaf:
    """One array of a nested batch."""

    path: str
    """As it is reached in Python: ``x['left']``."""
    value: Any

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Sizes; None where one is not known while the step is traced."""
        return tuple(None if each is None else int(each) for each in self.value.shape)

    @property
    def kind(self) -> str:
        """``float``, ``int``, ``string`` or ``other``."""
        name = str(getattr(self.value.dtype, "name", self.value.dtype)).rpartition(".")[2]
        if "float" in name:
            return "float"
        if "int" in name or name == "bool":
            return "int"
        return "string" if name in ("string", "object") or name.startswith("str") else "other"


def leaves(name: str, nested: Any) -> list[Leaf]:
    """Return the arrays of a nested batch, with how each is reached."""
    if nested is None:
        return []
    if isinstance(nested, Mapping):
        return [leaf for key in nested for leaf in leaves(f"{name}[{key!r}]", nested[key])]
    if isinstance(nested, (list, tuple)):
        parts = enumerate(nested)
        return [leaf for index, part in parts for leaf in leaves(f"{name}[{index}]", part)]
    if hasattr(nested, "shape") and hasattr(nested, "dtype") and nested.shape is not None:
        rank = getattr(nested.shape, "rank", len(nested.shape) if _has_rank(nested) else None)
        return [Leaf(name, nested)] if rank else []
    return []


def _has_rank(value: Any) -> bool:
    try:
        len(value.shape)
    except (TypeError, ValueError):
        return False
    return True


def given(name: str, nested: Any, pick: Pick) -> list[Leaf]:
    """Return what the user picked of a nested batch; nothing where there is none.

    Raises:
        ValueError: There is no such part, or it is no array.
    """
    if pick is False:
        return []
    try:
        chosen = pick(nested) if callable(pick) else nested[pick]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"{name} has no {pick!r}: {error}") from error
    found = leaves(f"{name}[{pick!r}]" if not callable(pick) else f"your choice of {name}", chosen)
    if not found:
        raise ValueError(f"{pick!r} of {name} is no array")
    return found[:1]


def picture_shape(leaf: Leaf) -> bool:
    """Return whether this looks like a batch of pictures.

    (B, H, W, C) or (B, C, H, W) with 1, 3 or 4 channels; (B, H, W) of edges from 8 that differ by
    no more than four times, for longer ones are series.
    """
    shape = leaf.shape
    if leaf.kind not in ("float", "int"):
        return False
    if len(shape) == 4:
        return shape[3] in _CHANNELS or shape[1] in _CHANNELS
    if len(shape) != 3 or shape[1] is None or shape[2] is None:
        return False
    least, most = sorted((shape[1], shape[2]))
    return least >= _LEAST_EDGE and most <= _MOST_ASPECT * least


def pictures(x: Any, pick: Pick) -> Leaf | None:
    """Return the pictures of a batch; the first that look so, unless the user says which.

    Raises:
        ValueError: The user's choice does not exist.
    """
    if pick is not None:
        return next(iter(given("x", x, pick)), None)
    return next(filter(picture_shape, leaves("x", x)), None)


def tokens(x: Any) -> Leaf | None:
    """Return the texts of a batch, strings (B,) or token ids (B, T); None: there are none."""
    found = leaves("x", x)
    for leaf in found:
        if leaf.kind == "string" and (len(leaf.shape) == 1 or leaf.shape[1:] == (1,)):
            return leaf
    return next((leaf for leaf in found if leaf.kind == "int" and len(leaf.shape) == 2), None)


def truth_and_prediction(
    y: Any, y_pred: Any, targets: Pick, outputs: Pick
) -> tuple[Leaf | None, Leaf | None]:
    """Return the truth and the prediction that belong together; either may be missing.

    Of several outputs the first is taken, unless the user says which.

    Raises:
        ValueError: The user's choice does not exist.
    """
    predicted = (
        given("y_pred", y_pred, outputs) if outputs is not None else leaves("y_pred", y_pred)[:1]
    )
    if targets is not None:
        true = given("y", y, targets)
    else:
        every = leaves("y", y)
        # The same key on both sides, where there are keys.
        key = predicted[0].path.removeprefix("y_pred") if predicted else ""
        true = [leaf for leaf in every if leaf.path.removeprefix("y") == key] or every[:1]
    return (true[0] if true else None), (predicted[0] if predicted else None)
