"""Reading what a batch has of each role, ready to be copied: nothing here copies a large array."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from trainmon.capture.arrays import (
    Array,
    as_numpy,
    bfloat16_bits,
    length,
    pick,
    reads_in_place,
    widened,
)
from trainmon.capture.boxes import read_boxes
from trainmon.capture.images import copy_pixels, in_memory_order, thinning_of
from trainmon.capture.maps import MapLayout, find_maps, map_stride, samples_at_once
from trainmon.capture.ragged import RaggedImages, RaggedSource, read_ragged
from trainmon.capture.sparse import SparseArray, SparseList
from trainmon.capture.words import TEXT_ROLES, read_texts, read_token_losses, read_tokens

if TYPE_CHECKING:
    from trainmon.events import BatchEvent, FrameRequest

__all__ = ["ArraySource", "Reading", "Source", "at_once", "lengths", "read"]

#: Bytes of pixels a frame may hold: 16 RGB float32 tiles of 256 px. More would be copied for longer
#: than a step may wait.
_MOST_PIXEL_BYTES = 12 << 20
#: What outputs, targets and losses may hold of one sample: 32,768 classes in float32.
_MOST_SAMPLE_BYTES = 1 << 17
#: Roles that are read into small arrays of our own.
_LISTED: dict[str, Callable[[Any, Any], Array]] = {
    "token_losses": read_token_losses,
    "output_boxes": read_boxes,
    "target_boxes": read_boxes,
}
_ROLES = (
    "images",
    "outputs",
    "targets",
    "sample_losses",
    *TEXT_ROLES,
    "tokens",
    *_LISTED,
)

_CHANNELS = (1, 3, 4)
#: The least edge of what passes for a picture, in pixels.
_LEAST_DRAWN = 8

Problem = Callable[[str, Exception], None]


class Source(Protocol):
    """What a batch has of one role."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample in the frame."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type in the frame."""

    def copy(self, target: Array) -> None:
        """Copy the chosen samples, in their order."""


@dataclass(eq=False)  # not frozen: three are made for each picture, and that takes thrice as long
class ArraySource:
    """Samples that are rows of one array."""

    array: Array
    rows: Array
    """The rows that were chosen."""
    whole: bool
    """Whether ``array`` is all of the batch."""
    shape: tuple[int, ...]
    pixels: tuple[slice, ...] | None = None
    """Which pixels of a row; None: all."""
    bits: bool = False
    """Whether ``array`` holds the bits of bfloat16."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type in the frame."""
        return np.dtype(np.float32) if self.bits else self.array.dtype

    def copy(self, target: Array) -> None:
        """Copy the chosen samples, in their order."""
        if self.pixels is None:
            _take(self.array, self.rows, target)
            return
        for position, row in enumerate(self.rows):
            taken = self.array[row][self.pixels]
            copy_pixels(target[position], widened(taken) if self.bits else taken)


@dataclass
class Reading:
    """Everything that was read of a batch's chosen samples."""

    arrays: dict[str, Source] = field(default_factory=dict)
    words: dict[str, list[Any]] = field(default_factory=dict)
    """Texts and tokens by role, a sample each."""
    channels_first: bool = False
    maps: dict[str, int] = field(default_factory=dict)
    """Of outputs and targets that hold something for every pixel: the axis of their classes."""
    drawn: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes of outputs and targets that are pictures themselves, and do not go along."""
    known_key: tuple[Any, ...] | None = None
    """What ``key`` is, where that is known."""

    def __bool__(self) -> bool:
        return bool(self.arrays or self.words)

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal where samples of two batches fit into one frame."""
        if self.known_key is not None:
            return self.known_key
        shapes = tuple((role, each.shape, each.dtype) for role, each in self.arrays.items())
        return (shapes, tuple(self.words), self.channels_first, tuple(self.maps.items()))


def lengths(batch: BatchEvent, problem: Problem) -> dict[str, int]:
    """Return how many samples there are of each role: as many as of the first, or none.

    Args:
        batch: What the adapter collected.
        problem: Told of what is of no use, by role; the rest of the batch is shown.
    """
    given: dict[str, int] = {}
    for role in _ROLES:
        value = getattr(batch, role)
        if value is None:
            continue
        try:
            size = length(value)
            first = next(iter(given.values()), size)
            if size is None or size != first:
                told = ", ".join(f"{name} {count}" for name, count in given.items())
                raise ValueError(
                    f"{'no batch' if size is None else size} where others of the same batch "
                    f"differ in length: {told or 'none'}"
                )
            given[role] = size
        except Exception as error:  # noqa: BLE001 - a stranger's array; told, the rest is shown
            problem(role, error)
    return given


def at_once(batch: BatchEvent, most: int) -> int:
    """Return how many samples of a batch one step may read; the others come from later steps."""
    outputs = batch.outputs
    shape, nbytes = getattr(outputs, "shape", ()), getattr(outputs, "itemsize", 4)
    if len(shape) != 4 or not isinstance(nbytes, int) or isinstance(outputs, SparseArray):
        return most
    return samples_at_once(tuple(shape), nbytes, most)


def read(
    batch: BatchEvent,
    given: Mapping[str, int],
    chosen: Array,
    request: FrameRequest,
    problem: Problem,
) -> Reading:
    """Read each role, leaving out what is of no use.

    Args:
        batch: What the adapter collected.
        given: What :func:`lengths` found.
        chosen: Rows of the batch, ascending.
        request: How many samples are wanted, and how large.
        problem: Told of what is of no use, by role; the rest of the batch is shown.
    """
    reader = _Reader(batch, chosen, request)
    for role, size in given.items():
        if not size:
            continue
        try:
            reader.read(role)
        except Exception as error:  # noqa: BLE001 - a stranger's array; told, the rest is shown
            problem(role, error)
    try:
        reader.finish()
    except Exception as error:  # noqa: BLE001 - a stranger's array; told, the rest is shown
        problem("outputs", error)
    for role, refusal in reader.refused.items():
        problem(role, refusal)
    return reader.reading


class _Reader:
    """Reads one batch."""

    def __init__(self, batch: BatchEvent, chosen: Array, request: FrameRequest) -> None:
        self._batch, self._chosen, self._request = batch, chosen, request
        self._picture: tuple[int, int] | None = None
        self._pictures: tuple[int, ...] | None = None
        self._numbers: dict[str, ArraySource] = {}
        self.refused: dict[str, Exception] = {}
        self.reading = Reading()

    def read(self, role: str) -> None:
        """Read one role.

        Raises:
            ValueError: It has the wrong shape, or is too large to be copied within a step.
            TypeError: It is of another kind, or lies on an accelerator.
        """
        value = getattr(self._batch, role)
        if role == "images":
            self._read_images(value)
        elif role in ("outputs", "targets"):
            source = _rows(value, self._chosen)
            known = role == "targets" and source.bits  # what they are is told by their values
            self._numbers[role] = _ours(pick(value, self._chosen.tolist())) if known else source
        elif role == "sample_losses":
            self.reading.arrays[role] = _bounded(_rows(value, self._chosen))
        elif role in TEXT_ROLES:
            self.reading.words[role] = read_texts(value, self._chosen.tolist())
        elif role == "tokens":
            self.reading.words[role] = list(read_tokens(value, self._chosen.tolist()))
        else:
            self.reading.arrays[role] = _ours(_LISTED[role](value, self._chosen.tolist()))

    def finish(self) -> None:
        """Tell what outputs and targets are, which takes both and the pictures."""
        outputs, targets = (self._numbers.get(role) for role in ("outputs", "targets"))
        maps: dict[str, MapLayout] = {}
        if self._batch.targets is not self._batch.images:
            maps = find_maps(
                None if outputs is None else outputs.array,
                None if targets is None else targets.array,
                self._picture,
                self._pictures,
            )
        for role, source in self._numbers.items():
            layout = maps.get(role)
            if layout is None and self._pictures is not None and _is_drawn(source.array.shape):
                self.reading.drawn[role] = source.array.shape
                continue
            try:
                found = _bounded(source) if layout is None else self._map(source, layout)
            except ValueError as error:
                self.refused[role] = error
                continue
            self.reading.arrays[role] = found
            if layout is not None:
                self.reading.maps[role] = layout.axis

    def _map(self, source: ArraySource, layout: MapLayout) -> ArraySource:
        # Reckoned from what never changes: maps of several steps have to fit into one frame.
        outputs, most = self._numbers.get("outputs", source).array, self._request.max_samples
        samples = samples_at_once(outputs.shape, outputs.dtype.itemsize, most)
        itemsize = source.array.dtype.itemsize
        stride = map_stride(layout, self._request.tile_size, itemsize, samples)
        return ArraySource(
            source.array,
            source.rows,
            whole=False,
            shape=layout.sample_shape(stride),
            pixels=layout.sample_index(stride),
            bits=source.bits,
        )

    def _read_images(self, images: Any) -> None:
        # Asked first: for most loops show an array, and an abstract class is asked in Python.
        listed = type(images) is not np.ndarray
        if listed and isinstance(images, (list, tuple, SparseList)):
            pictures = [as_numpy(images[row]) for row in self._chosen]
            shapes = {picture.shape for picture in pictures}
            # Where there are boxes the next batch has pictures of another size, like as not.
            if len(shapes) > 1 or (self._has_boxes and len(next(iter(shapes))) > 1):
                self._read_ragged(read_ragged(pictures))
                return
        if listed and isinstance(images, SparseList):
            images = SparseArray(len(images), self._chosen, np.stack(pictures))
        source = _rows(images, self._chosen)
        self._pictures = source.array.shape[1:]
        array = in_memory_order(source.array)
        itemsize, room = source.dtype.itemsize, _MOST_PIXEL_BYTES // self._request.max_samples
        thinning = thinning_of(array.shape, self._request.tile_size, itemsize, room)
        layout, stride = thinning.layout, thinning.stride
        self._picture = (layout.height, layout.width)
        pixels = None if stride == 1 and not source.bits else thinning.pixels
        self.reading.arrays["images"] = ArraySource(
            array, source.rows, False, thinning.shape, pixels, source.bits
        )
        self.reading.channels_first = layout.channels_first
        if self._has_boxes:
            copied = (-(-layout.height // stride), -(-layout.width // stride))
            self._tell_sizes([(*copied, *self._picture)] * len(self._chosen))

    def _read_ragged(self, images: RaggedImages) -> None:
        room = _MOST_PIXEL_BYTES // self._request.max_samples
        canvas = images.canvas(self._request.tile_size, room)
        self.reading.arrays["images"] = RaggedSource(images, canvas)
        self.reading.channels_first = canvas.channels_first
        self._tell_sizes([(*canvas.size(each), each.height, each.width) for each in images.layouts])

    @property
    def _has_boxes(self) -> bool:
        return not (self._batch.output_boxes is None and self._batch.target_boxes is None)

    def _tell_sizes(self, sizes: list[tuple[int, ...]]) -> None:
        self.reading.arrays["image_sizes"] = _ours(np.array(sizes, np.int64))


def _is_drawn(shape: tuple[int, ...]) -> bool:
    """Return whether these are pictures, as an autoencoder has them: no predictions of a picture.

    (B, H, W), (B, H, W, C) or (B, C, H, W) with 1, 3 or 4 channels and edges from 8.
    """
    edges = shape[1:]
    if len(edges) == 3:
        edges = edges[:2] if edges[2] in _CHANNELS else edges[1:] if edges[0] in _CHANNELS else ()
    return len(edges) == 2 and min(edges) >= _LEAST_DRAWN


def _rows(value: Any, chosen: Array) -> ArraySource:
    """Return the chosen rows of an array, of which nothing large is copied.

    Raises:
        TypeError: It is no array of numbers in the CPU's memory.
        ValueError: The rows are of different shapes.
    """
    if isinstance(value, SparseArray):
        return _ours(value.array)
    if reads_in_place(value):
        array = as_numpy(value)
        return ArraySource(array, chosen, True, array.shape[1:])
    bits = bfloat16_bits(value)
    if bits is not None and bits.ndim > 2:
        return ArraySource(bits, chosen, False, bits.shape[1:], (slice(None),), bits=True)
    return _ours(pick(value, chosen.tolist()))


def _ours(array: Array) -> ArraySource:
    """Return an array that holds the chosen rows and no others."""
    return ArraySource(array, np.arange(len(array)), False, array.shape[1:])


def _bounded(source: ArraySource) -> ArraySource:
    """Return what may be copied as it is.

    Raises:
        ValueError: It is too large for that.
    """
    nbytes = math.prod(source.shape) * source.dtype.itemsize
    if nbytes > _MOST_SAMPLE_BYTES:
        raise ValueError(
            f"{nbytes} bytes a sample, of shape {source.shape}; at most {_MOST_SAMPLE_BYTES} are "
            "copied, so that no step waits: hand over less of them"
        )
    return source


def _take(source: Array, chosen: Array, target: Array) -> None:
    """Copy the chosen rows; one by one where there are gaps, for NumPy would copy all first."""
    if len(chosen) == len(source):  # all of them, in their order
        np.copyto(target, source)
        return
    if source.flags.c_contiguous:
        source.take(chosen, axis=0, out=target, mode="clip")
        return
    for position, index in enumerate(chosen):
        target[position] = source[index]
