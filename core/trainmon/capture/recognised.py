"""Batches of a kind that was read before, read again without asking what their shapes have told.

A loop shows arrays of the same kind again and again. To find out each time where channels lie, what
outputs are and which pixels are enough passes through a hundred functions, which between the steps
of a training is more than the copy itself. Only what types, shapes, layouts and the request tell is
remembered, never what values tell; whatever is out of the ordinary is read anew.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from trainmon.capture.arrays import NUMBERS, Array, tensor_as_numpy
from trainmon.capture.sources import ArraySource, Reading, at_once

if TYPE_CHECKING:
    from trainmon.capture.sources import Source
    from trainmon.events import BatchEvent, FrameRequest

__all__ = ["Recipe", "Recognised"]

_ROLES = ("images", "outputs", "targets")
_arrays_of = attrgetter(*_ROLES)
_others_of = attrgetter(
    *("sample_losses", "texts", "output_boxes", "target_boxes", "output_texts", "target_texts"),
    *("tokens", "token_losses", "count", "mean_loss"),
)
_NOTHING = {type(None)}
#: Of what is known without a look at a device.
_SIZES = (int, type(None))
#: Of outputs and targets. What has more may be maps, which their values tell.
_MOST_AXES = 2
#: Kinds remembered at most: a training, its validation, a last batch that is smaller.
_MOST_KINDS = 16


@dataclass(frozen=True)
class _Part:
    """How the array of one role is read."""

    role: str
    turned: bool
    """Whether its channels lie last in memory, and not where its shape says."""
    whole: bool
    shape: tuple[int, ...]
    pixels: tuple[slice, ...] | None


@dataclass(frozen=True)
class Recipe:
    """How batches of one kind are read."""

    total: int
    """Samples in the batch."""
    most: int
    """Samples that one step may read of it."""
    channels_first: bool
    key: tuple[Any, ...]
    """See ``Reading.key``."""
    parts: tuple[_Part, ...]

    def read(self, batch: BatchEvent, chosen: Array) -> Reading:
        """Read the chosen rows of a batch of this kind; see :func:`sources.read`."""
        arrays: dict[str, Source] = {}
        for part in self.parts:
            array = _as_it_lies(getattr(batch, part.role))
            if part.turned:
                array = array.transpose(0, 2, 3, 1)
            arrays[part.role] = ArraySource(array, chosen, part.whole, part.shape, part.pixels)
        return Reading(arrays, channels_first=self.channels_first, known_key=self.key)


class Recognised:
    """The kinds of batches that were read before."""

    def __init__(self) -> None:
        self._recipes: dict[tuple[Any, ...], Recipe] = {}

    def find(self, batch: BatchEvent, request: FrameRequest) -> Recipe | None:
        """Return how a batch is read; None where its kind is not known."""
        if not self._recipes:
            return None
        try:
            return self._recipes.get(_kind_of(batch, request))
        except Exception:  # noqa: BLE001 - a stranger's array; whoever reads it tells what it is
            return None

    def learn(
        self, batch: BatchEvent, request: FrameRequest, total: int, chosen: Array, reading: Reading
    ) -> None:
        """Remember how a batch was read, if its kind alone tells; raises nothing.

        Args:
            batch: It.
            request: What was wanted of it.
            total: Its samples.
            chosen: Rows of it that were read.
            reading: What was made of them.
        """
        given = {role for role in _ROLES if getattr(batch, role) is not None}
        if reading.words or reading.arrays.keys() != given:
            return
        with suppress(Exception):  # as above: it was read, and that is enough
            kind = _kind_of(batch, request)
            recipe = _recipe(batch, request, total, chosen, reading) if kind else None
            if recipe is not None:
                if len(self._recipes) >= _MOST_KINDS:
                    self._recipes.clear()
                self._recipes[kind] = recipe


def _recipe(
    batch: BatchEvent, request: FrameRequest, total: int, chosen: Array, reading: Reading
) -> Recipe | None:
    """Return how a batch was read; None where another of its kind may be read otherwise."""
    parts = []
    for role, source in reading.arrays.items():
        if not isinstance(source, ArraySource) or source.bits or source.rows is not chosen:
            return None
        is_pictures = role == "images"
        if not is_pictures and source.array.ndim > _MOST_AXES:
            return None
        lies = _as_it_lies(getattr(batch, role))
        turned = is_pictures and source.array.strides != lies.strides
        parts.append(_Part(role, turned, source.whole, source.shape, source.pixels))
    most = at_once(batch, request.max_samples)
    return Recipe(total, most, reading.channels_first, reading.key, tuple(parts))


def _as_it_lies(value: Any) -> Array:
    return value if type(value) is np.ndarray else tensor_as_numpy(value)


def _kind_of(batch: BatchEvent, request: FrameRequest) -> tuple[Any, ...]:
    """Return what tells a batch from those that are read otherwise; empty where nothing does."""
    if {*map(type, _others_of(batch))} != _NOTHING or type(batch.batch_size) not in _SIZES:
        return ()
    torch: Any = sys.modules.get("torch")
    tensor = None if torch is None else torch.Tensor
    kind: list[Any] = [request.max_samples, request.tile_size]
    for value in _arrays_of(batch):
        if type(value) is np.ndarray and value.dtype.kind in NUMBERS:
            kind += (value.shape, value.strides, value.dtype)
        elif value is None:
            kind.append(None)
        elif type(value) is tensor and _lies_as_numpy(value, torch):
            kind += (value.shape, value.stride(), value.dtype)
        else:
            return ()
    return tuple(kind)


def _lies_as_numpy(tensor: Any, torch: Any) -> bool:
    """Return whether :func:`tensor_as_numpy` reads it; types that nobody reads are not learnt."""
    return (
        tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and tensor.dtype is not torch.bfloat16
    )
