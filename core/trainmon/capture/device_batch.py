"""The samples of a batch that lies on an accelerator, sent for without waiting.

Of every role no more than the chosen rows are gathered, on the device and in the order of the
training's own work, so that what the next step overwrites has been copied. Pictures are reduced to
the pixels that a tile needs before they travel. What arrives looks like the batch it was taken
from, of which only the chosen rows can be read.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from trainmon.capture.arrays import Array, as_numpy, framework_of, would_wait
from trainmon.capture.images import image_layout, stride_for
from trainmon.capture.landing import Landing, can_fetch, fetch
from trainmon.capture.sparse import SparseArray, SparseList
from trainmon.capture.words import TokenTexts

if TYPE_CHECKING:
    from trainmon.events import BatchEvent, FrameRequest

__all__ = ["DeviceBatch", "lies_on_device"]

_ARRAYS = ("images", "outputs", "targets", "sample_losses")
_LISTS = ("images", "token_losses")
_BOXES = ("output_boxes", "target_boxes")
_WORDS = ("texts", "output_texts", "target_texts", "tokens")
_SINGLE = ("batch_size", "count", "mean_loss")
_ROLES = tuple(dict.fromkeys((*_ARRAYS, *_LISTS, *_BOXES, *_WORDS, *_SINGLE)))
#: Outputs and targets up to this size travel whole: the relay then knows each sample's loss.
_WHOLE_BYTES = 1 << 15
#: What one picture of the wall may move from the device, over all roles.
_MOST_BYTES = 32 << 20
#: A frame's room for the pixels of one sample, as the frame's writer has it.
_PIXEL_BYTES = 12 << 20

Problem = Callable[[str, Exception], None]
Rebuild = Callable[[Sequence[Array]], Any]


def lies_on_device(batch: BatchEvent) -> bool:
    """Return whether any of a batch's arrays lies where it cannot be read at once."""
    for role in _ROLES:
        value = getattr(batch, role)
        # What most loops show, and quickly.
        if value is None or type(value) is np.ndarray:
            continue
        if any(would_wait(each) for each in _leaves(value)):
            return True
    return False


def _leaves(value: Any) -> Sequence[Any]:
    if isinstance(value, TokenTexts):
        return (value.ids,)
    if not isinstance(value, (list, tuple)):
        return (value,)
    if value and isinstance(value[0], Mapping):
        return list(value[0].values())
    return value[:1]


class DeviceBatch:
    """Samples on their way.

    Args:
        batch: What the adapter collected.
        given: The roles it has, each of as many samples.
        rows: Which samples, ascending.
        request: How many samples are wanted, and how large.
        problem: Told of what is of no use, by role; the rest is shown.

    Raises:
        RuntimeError: The device is recording a graph.
    """

    def __init__(
        self,
        batch: BatchEvent,
        given: Mapping[str, int],
        rows: Array,
        request: FrameRequest,
        problem: Problem,
    ) -> None:
        self._batch, self.rows = batch, rows
        self._total = next(iter(given.values()))
        self._request, self._problem = request, problem
        self._edge: tuple[int, int] | None = None
        self._stride = 1
        self._bytes = 0
        self._sent: list[Any] = []
        self._parts: dict[str, tuple[list[int | Array], Rebuild]] = {}
        self._known: dict[str, Any] = dict.fromkeys((*_ARRAYS, *_LISTS, *_BOXES, *_WORDS))
        for role in dict.fromkeys((*_ARRAYS, *_LISTS, *_BOXES, *_WORDS, *_SINGLE)):
            # A row beyond an array's end would break the device for good.
            if role not in given and role not in _SINGLE:
                continue
            try:
                self._take(role, getattr(batch, role))
            except Exception as error:  # noqa: BLE001 - a stranger's array; told, the rest is shown
                problem(role, error)
        self._batch = replace(
            batch, **cast("dict[str, Any]", dict.fromkeys(self._known))
        )  # nothing of the user's is kept
        self._landing: Landing | None = fetch(self._sent) if self._sent else None
        self._sent = []

    def ready(self) -> bool:
        """Return whether all has arrived; never waits."""
        return self._landing is None or self._landing.ready()

    def landed(self) -> BatchEvent:
        """Return the batch, of which only the chosen rows can be read; only when ready."""
        arrays = self._landing.arrays() if self._landing is not None else ()
        here = {
            role: [arrays[each] if isinstance(each, int) else each for each in parts]
            for role, (parts, _) in self._parts.items()
        }
        if "count" in here:
            self._cut(round(float(here["count"][0].reshape(()))))
        found = dict(self._known)
        for role, (_, rebuild) in self._parts.items():
            found[role] = rebuild(here[role])
        return replace(self._batch, **{**found, "count": None})

    def _cut(self, count: int) -> None:
        """Leave out what only fills the arrays up."""
        self._total = min(self._total, max(count, 0))
        self.rows = self.rows[self.rows < self._total]

    # --- each role ---

    def _take(self, role: str, value: Any) -> None:
        if role in _SINGLE:
            self._take_single(role, value)
        elif isinstance(value, TokenTexts):
            self._take_tokens(role, value)
        elif role in _WORDS:
            chosen = {int(row): value[int(row)] for row in self.rows}
            self._known[role] = SparseList(self._total, chosen)
        elif role in _BOXES:
            self._take_boxes(role, value)
        elif isinstance(value, (list, tuple)):
            self._take_list(role, value)
        else:
            self._take_array(role, value)

    def _take_single(self, role: str, value: Any) -> None:
        if value is not None and not isinstance(value, (int, float)):
            self._known[role] = None
            self._add(role, [self._whole(value)], lambda arrays: float(arrays[0].reshape(())))

    def _take_tokens(self, role: str, texts: TokenTexts) -> None:
        rows = self._gathered(texts.ids, ())
        self._add(
            role, [rows], lambda arrays: TokenTexts(self._sparse(role, arrays[0]), texts.decode)
        )

    def _take_array(self, role: str, value: Any) -> None:
        shape, itemsize = tuple(value.shape), _itemsize(value)
        if math.prod(shape) * itemsize <= _WHOLE_BYTES and len(shape) <= 2:
            self._add(role, [self._whole(value)], lambda arrays: arrays[0][: self._total])
            return
        gathered = self._gathered(value, self._pixels(role, shape, itemsize))
        self._add(role, [gathered], lambda arrays: self._sparse(role, arrays[0]))

    def _sparse(self, role: str, taken: Any) -> SparseArray | SparseList:
        """Return the chosen rows of a role at their places in the batch."""
        if (role in _LISTS and not isinstance(taken, np.ndarray)) or role == "token_losses":
            items = dict(zip(self.rows.tolist(), taken, strict=True))
            return SparseList(self._total, items)
        return SparseArray(self._total, self.rows, np.stack(taken)[: len(self.rows)])

    def _pixels(self, role: str, shape: tuple[int, ...], itemsize: int) -> tuple[slice, ...]:
        """Return the index, of one sample, of the pixels that travel: for maps, as for pictures."""
        if role == "images":
            layout = image_layout(shape)
            self._edge = (layout.height, layout.width)
            room = _PIXEL_BYTES // self._request.max_samples
            self._stride = stride_for(layout, self._request.tile_size, itemsize, room)
            return layout.sample_index(self._stride)
        if len(shape) < 3 or self._edge is None or self._stride == 1:
            return ()
        whole, some = slice(None), slice(None, None, self._stride)
        for axes in ((1, 2), (2, 3)):
            if tuple(shape[axis] for axis in axes if axis < len(shape)) == self._edge:
                return tuple(some if axis in axes else whole for axis in range(1, axes[1] + 1))
        return ()

    def _gathered(self, value: Any, pixels: tuple[slice, ...]) -> Any:
        if not would_wait(value):
            return np.stack([as_numpy(value[int(row)])[pixels] for row in self.rows])
        _require_fetchable(value)
        framework, every = framework_of(value), (slice(None), *pixels)
        if framework == "torch":
            return value.detach()[every].index_select(0, _index(self.rows, value.device))
        if len(self.rows) == len(value):  # nobody can change it: no copy is needed
            return value[every] if pixels else value
        if framework == "tensorflow":
            # Its indices lie on the device, and to put them there would wait; its slices do not.
            places = [(int(row), *pixels) for row in self.rows]
            rows = [value[place] for place in places]
            return sys.modules["tensorflow"].stack(rows)
        return value[self.rows][every]

    def _whole(self, value: Any) -> Any:
        if not would_wait(value):
            return np.array(as_numpy(value))
        _require_fetchable(value)
        return value.detach().clone() if framework_of(value) == "torch" else value

    def _take_list(self, role: str, values: Sequence[Any]) -> None:
        taken = []
        for row in self.rows:
            value = values[int(row)]
            if role == "images":
                layout = image_layout((1, *value.shape))
                value = value[layout.sample_index(self._stride_of(value))]
            taken.append(self._whole(value))
        self._add(role, taken, lambda arrays: self._sparse(role, list(arrays)))

    def _stride_of(self, picture: Any) -> int:
        """Return by how much one picture of a list is reduced."""
        layout = image_layout((1, *picture.shape))
        room = _PIXEL_BYTES // self._request.max_samples
        return stride_for(layout, self._request.tile_size, _itemsize(picture), room)

    def _take_boxes(self, role: str, samples: Sequence[Mapping[str, Any]]) -> None:
        """Join each column over the samples: three copies, not three for each sample."""
        chosen = [samples[int(row)] for row in self.rows]
        names = [name for name in ("boxes", "labels", "scores") if name in chosen[0]]
        counts = np.cumsum([len(sample["boxes"]) for sample in chosen])[:-1]
        columns = [_joined([sample[name] for sample in chosen]) for name in names]
        total, rows, strides = self._total, self.rows.tolist(), self._strides_of_boxes()

        def rebuild(arrays: Sequence[Array]) -> SparseList:
            split = {
                name: np.split(array, counts) for name, array in zip(names, arrays, strict=True)
            }
            found = {}
            for place, row in enumerate(rows):
                sample = {name: parts[place] for name, parts in split.items()}
                sample["boxes"] = np.asarray(sample["boxes"], np.float32) / strides[place]
                found[row] = sample
            return SparseList(total, found)

        self._add(role, columns, rebuild)

    def _strides_of_boxes(self) -> list[int]:
        """Return by how much each chosen picture is reduced."""
        images = self._batch.images
        if isinstance(images, (list, tuple)):
            return [self._stride_of(images[int(row)]) for row in self.rows]
        return [self._stride] * len(self.rows)

    def _add(self, role: str, arrays: Sequence[Any], rebuild: Rebuild) -> None:
        """Send for arrays that lie on a device; those that do not are copies already.

        Raises:
            ValueError: Too much would travel.
        """
        size = sum(math.prod(each.shape) * _itemsize(each) for each in arrays)
        if self._bytes + size > _MOST_BYTES:
            raise ValueError(
                f"{size} bytes of {len(self.rows)} samples; at most {_MOST_BYTES} are moved from "
                "the device for one picture: hand over less of them"
            )
        self._bytes += size
        parts: list[int | Array] = []
        for each in arrays:
            if would_wait(each):
                parts.append(len(self._sent))
                self._sent.append(each)
            else:
                parts.append(as_numpy(each))
        self._parts[role] = (parts, rebuild)


def _require_fetchable(value: Any) -> None:
    if not can_fetch(value):
        raise TypeError(
            f"an array of type {type(value).__name__} on a device that can only be read by "
            "waiting for it: hand over a copy in the CPU's memory"
        )


def _itemsize(value: Any) -> int:
    size = getattr(value, "itemsize", None)
    if size is None:
        size = value.dtype.size if framework_of(value) == "tensorflow" else value.element_size()
    return int(size)


def _index(rows: Array, device: Any) -> Any:
    """Return row numbers on a device, sent from pinned memory: no copy that blocks."""
    torch = sys.modules["torch"]
    host = torch.tensor(rows.tolist(), dtype=torch.int64, device="cpu")
    return host.pin_memory().to(device, non_blocking=True)


def _joined(columns: Sequence[Any]) -> Any:
    first = columns[0]
    if not would_wait(first):
        return np.concatenate([np.atleast_1d(as_numpy(each)) for each in columns])
    _require_fetchable(first)
    framework = framework_of(first)
    if framework == "torch":
        return sys.modules["torch"].cat([each.detach() for each in columns])
    if framework == "tensorflow":
        return sys.modules["tensorflow"].concat(list(columns), 0)
    return sys.modules["jax"].numpy.concatenate(columns)
