"""Copying the samples of a step into a slot that the relay reads.

At most 16 samples, of large pictures only every n-th pixel, straight into shared memory: nothing
of the user's is kept past the call. Batches under 16 are gathered until 16 are there or a second
has passed. A loop shows arrays of the same shapes again and again, so where they lie in each slot
is worked out once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainmon.capture.arrays import Array, as_numpy, length
from trainmon.capture.images import ImageLayout, image_layout, stride_for
from trainmon.channel import Kind, SlotWriter, TrainerChannel, Word, pack_json

if TYPE_CHECKING:
    from trainmon.capture.pace import Due
    from trainmon.events import BatchEvent, FrameRequest

__all__ = ["FrameWriter"]

_GATHER_NS = 1_000_000_000
#: A batch whose outputs are no larger than this goes to the relay whole, so that it can check each
#: sample's loss against the batch's without any arithmetic here.
_WHOLE_BATCH_BYTES = 1 << 16
_ROLES = ("images", "outputs", "targets", "sample_losses")
#: The part of a slot that pictures may not take: outputs and targets come behind them.
_RESERVED_PART = 4
_MAX_PLANS = 8
#: Up to here a whole permutation is cheaper than drawing without repetition.
_PERMUTED = 4096

Arrays = dict[str, Array]


class _Plan:
    """Where the arrays of frames of one shape lie in one slot.

    Args:
        writer: The slot.
        arrays: Of the first batch.
        request: What is wanted.
        whole: Whether the whole batch's outputs and targets go along.
    """

    def __init__(
        self, writer: SlotWriter, arrays: Arrays, request: FrameRequest, *, whole: bool
    ) -> None:
        count = request.max_samples
        self.layout: ImageLayout | None = None
        self.pixels: tuple[slice, ...] | None = None
        self.targets: Arrays = {}
        for role, array in arrays.items():
            shape = array.shape[1:]
            if role == "images":
                shape = self._plan_images(writer, array, request)
            self.targets[role] = writer.allocate(role, (count, *shape), array.dtype)
        self.steps = writer.allocate("sample_steps", (count,), np.dtype(np.float64))
        self.whole: Arrays = {}
        if whole:
            for role in ("outputs", "targets"):
                source = arrays[role]
                self.whole[role] = writer.allocate(f"batch_{role}", source.shape, source.dtype)
            self.indices = writer.allocate("sample_indices", (count,), np.dtype(np.int64))
        self._places = writer.layout

    def _plan_images(
        self, writer: SlotWriter, images: Array, request: FrameRequest
    ) -> tuple[int, ...]:
        self.layout = layout = image_layout(images.shape)
        room = (writer.room - writer.room // _RESERVED_PART) // request.max_samples
        stride = stride_for(layout, request.tile_size, images.dtype.itemsize, room)
        self.pixels = None if stride == 1 else layout.sample_index(stride)
        return layout.sample_shape(stride)

    def places(self, count: int, *, several: bool) -> dict[str, tuple[str, list[int], int]]:
        """Return the layout of a frame of ``count`` samples for its record."""
        found = {}
        for role, (dtype, shape, offset) in self._places.items():
            if role == "sample_steps" and not several:
                continue
            if several and (role.startswith("batch_") or role == "sample_indices"):
                continue
            cut = shape if role.startswith("batch_") else [count, *shape[1:]]
            found[role] = (dtype, cut, offset)
        return found


class _Frame:
    """A frame under way: one slot, filled by one batch or by several small ones."""

    def __init__(self, slot: int, due: Due, started_ns: int) -> None:
        self.slot = slot
        self.due = due
        self.started_ns = started_ns
        self.count = 0
        self.texts: list[str] = []
        self.first_step = 0
        self.several = False
        self.key: tuple[Any, ...] | None = None
        self.plan: _Plan | None = None


class FrameWriter:
    """Writes frames; the training's side of the picture slots.

    Args:
        channel: Where to.
        normalization: Mean and standard deviation per channel of pixels from 0 to 1; None: unknown.
    """

    def __init__(
        self, channel: TrainerChannel, normalization: Mapping[str, Sequence[float]] | None
    ) -> None:
        self._channel = channel
        self._normalization = normalization
        # Our own generator: to draw from the user's would change what the training computes.
        self._random = np.random.default_rng()
        self._frame: _Frame | None = None
        self._plans: dict[tuple[Any, ...], _Plan] = {}

    @property
    def gathering(self) -> bool:
        """Whether a frame waits for more samples."""
        return self._frame is not None

    def begin(self, due: Due, now_ns: int) -> bool:
        """Take a slot for a new frame; False where the relay still reads them all."""
        slot = self._channel.slots.free_slot()
        if slot is None:
            return False
        self._frame = _Frame(slot, due, now_ns)
        return True

    def add(
        self, batch: BatchEvent, step: Mapping[str, Any], request: FrameRequest, now_ns: int
    ) -> bool:
        """Add samples of a batch; True when the frame was handed to the relay.

        Args:
            batch: What the adapter collected.
            step: Fields of the step for the FRAME record.
            request: How many samples are wanted, and how large.
            now_ns: ``time.monotonic_ns()``.

        Raises:
            ValueError: An array is of no use; the frame is given up.
            TypeError: Likewise.
        """
        frame, self._frame = self._frame, None
        if frame is None:
            return False
        arrays = {
            role: as_numpy(value) for role in _ROLES if (value := getattr(batch, role)) is not None
        }
        total = _common_length(arrays, batch.texts)
        if not total:
            self._frame = frame
            return False
        if not self._place(frame, arrays, total, request):
            return self._hand_over(frame, step, request)
        self._copy(frame, arrays, batch.texts, total, request.max_samples, step["global_step"])
        if frame.count < request.max_samples and now_ns - frame.started_ns < _GATHER_NS:
            self._frame = frame
            return False
        return self._hand_over(frame, step, request)

    def _place(self, frame: _Frame, arrays: Arrays, total: int, request: FrameRequest) -> bool:
        """Find where the arrays go; False where they do not fit those gathered so far."""
        whole = total >= request.max_samples and _goes_whole(arrays)
        shapes = tuple((role, array.shape[1:], array.dtype) for role, array in arrays.items())
        key = (frame.slot, total if whole else 0, request, shapes)
        if frame.key is not None:
            return frame.key[2:] == key[2:]
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            writer = self._channel.slots.writer(frame.slot)
            plan = self._plans[key] = _Plan(writer, arrays, request, whole=whole)
        frame.key, frame.plan = key, plan
        return True

    def _copy(
        self,
        frame: _Frame,
        arrays: Arrays,
        texts: Sequence[str] | None,
        total: int,
        max_samples: int,
        step: int,
    ) -> None:
        plan = frame.plan
        if plan is None:
            raise ValueError("a frame without a place for its arrays")
        start = frame.count
        chosen = self._choose(total, max_samples - start)
        end = start + len(chosen)
        for role, target in plan.targets.items():
            if role == "images" and plan.pixels is not None:
                images = arrays[role]
                for position, index in enumerate(chosen, start):
                    np.copyto(target[position], images[index][plan.pixels])
            else:
                _take(arrays[role], chosen, target[start:end])
        if "images" in plan.targets:
            self._channel.block.words[Word.BYTES_COPIED] += plan.targets["images"][start:end].nbytes
        if texts is not None:
            frame.texts.extend(str(texts[index]) for index in chosen)
        if start == 0:
            frame.first_step = step
            for role, target in plan.whole.items():
                target[...] = arrays[role]
            if plan.whole:
                plan.indices[:end] = chosen
        frame.several |= step != frame.first_step
        plan.steps[start:end] = step
        frame.count = end

    def _choose(self, total: int, wanted: int) -> Array:
        if total <= wanted:
            return np.arange(total)
        if total <= _PERMUTED:
            chosen = self._random.permutation(total)[:wanted]
        else:
            chosen = self._random.choice(total, wanted, replace=False)
        chosen.sort()  # memory is read in its order
        return chosen

    def _hand_over(self, frame: _Frame, step: Mapping[str, Any], request: FrameRequest) -> bool:
        plan = frame.plan
        fields = {
            **step,
            "slot": frame.slot,
            "arrays": plan.places(frame.count, several=frame.several) if plan else {},
            "channels_first": bool(plan and plan.layout and plan.layout.channels_first),
            "tile_size": request.tile_size,
            "live": frame.due.live,
            "key_frame": frame.due.key_frame,
        }
        if frame.texts:
            fields["texts"] = frame.texts
        if self._normalization:
            fields["normalization"] = self._normalization
        # The slot changes hands before the record tells of it: the relay must find it ready.
        self._channel.slots.hand_over(frame.slot)
        reserve = self._channel.records.capacity // 8
        if not self._channel.records.write(pack_json(Kind.FRAME, fields), reserve):
            self._channel.slots.free(frame.slot)
            self._channel.block.words[Word.THINNED_PICTURES] += 1
            return False
        return True


def _common_length(arrays: Arrays, texts: Sequence[str] | None) -> int:
    """Return how many samples there are.

    Raises:
        ValueError: The arrays are of different lengths, or one has none.
    """
    given = {role: length(array) for role, array in arrays.items()}
    if texts is not None:
        given["texts"] = len(texts)
    sizes = set(given.values())
    if len(sizes) > 1 or None in sizes:
        told = ", ".join(f"{role} {size}" for role, size in given.items())
        raise ValueError(f"arrays of one batch differ in length: {told}")
    return sizes.pop() or 0 if sizes else 0


def _goes_whole(arrays: Arrays) -> bool:
    outputs, targets = arrays.get("outputs"), arrays.get("targets")
    if outputs is None or targets is None or "sample_losses" in arrays or outputs.ndim != 2:
        return False
    return outputs.nbytes + targets.nbytes <= _WHOLE_BATCH_BYTES


def _take(source: Array, chosen: Array, target: Array) -> None:
    """Copy the chosen rows; one by one where there are gaps, for NumPy would copy all first."""
    if source.flags.c_contiguous:
        np.take(source, chosen, axis=0, out=target, mode="clip")
        return
    for position, index in enumerate(chosen):
        target[position] = source[index]
