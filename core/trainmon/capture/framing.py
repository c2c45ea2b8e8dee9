"""Copying the samples of a step into a slot that the relay reads.

At most 16 samples, of large pictures only every n-th pixel, straight into shared memory: nothing
of the user's is kept past the call. Batches under 16 are gathered until 16 are there or a second
has passed.
"""

from __future__ import annotations

import random
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
_RESERVE_DIVISOR = 4


class _Frame:
    """A frame under way: one slot, filled by one batch or by several small ones."""

    def __init__(self, slot: int, writer: SlotWriter, due: Due, started_ns: int) -> None:
        self.slot = slot
        self.writer = writer
        self.due = due
        self.started_ns = started_ns
        self.count = 0
        self.arrays: dict[str, Array] = {}
        self.texts: list[str] = []
        self.steps: list[int] = []
        self.layout: ImageLayout | None = None
        self.stride = 1


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
        self._random = random.Random()  # noqa: S311 - which samples are shown is no secret
        self._frame: _Frame | None = None

    @property
    def gathering(self) -> bool:
        """Whether a frame waits for more samples."""
        return self._frame is not None

    def begin(self, due: Due, now_ns: int) -> bool:
        """Take a slot for a new frame; False where the relay still reads them all."""
        slot = self._channel.slots.free_slot()
        if slot is None:
            return False
        self._frame = _Frame(slot, self._channel.slots.writer(slot), due, now_ns)
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
        frame = self._frame
        if frame is None:
            return False
        try:
            total = _batch_length(batch)
            indices = self._choose(total, request.max_samples - frame.count)
            if frame.count and not _fits(frame, batch, request):
                return self._hand_over(step, request)
            self._copy(frame, batch, indices, int(step["global_step"]), request)
        except BaseException:
            self._frame = None
            raise
        waited_ns = now_ns - frame.started_ns
        if frame.count < request.max_samples and waited_ns < _GATHER_NS and total:
            return False
        if len(set(frame.steps)) == 1:
            _add_whole_batch(frame, batch, indices)
        return self._hand_over(step, request)

    def _choose(self, total: int, wanted: int) -> list[int]:
        if total <= wanted:
            return list(range(total))
        return sorted(self._random.sample(range(total), wanted))

    def _copy(
        self,
        frame: _Frame,
        batch: BatchEvent,
        indices: list[int],
        step: int,
        request: FrameRequest,
    ) -> None:
        if batch.images is not None:
            self._copy_images(frame, as_numpy(batch.images), indices, request)
        for role in ("outputs", "targets", "sample_losses"):
            value = getattr(batch, role)
            if value is not None:
                _copy_rows(frame, role, as_numpy(value), indices, request.max_samples)
        if batch.texts is not None:
            frame.texts.extend(str(batch.texts[index]) for index in indices)
        frame.steps.extend([step] * len(indices))
        frame.count += len(indices)

    def _copy_images(
        self, frame: _Frame, images: Array, indices: list[int], request: FrameRequest
    ) -> None:
        target = frame.arrays.get("images")
        if target is None:
            frame.layout = layout = image_layout(images.shape)
            room = frame.writer.room - frame.writer.room // _RESERVE_DIVISOR
            per_sample = room // request.max_samples
            size = images.dtype.itemsize
            frame.stride = stride_for(layout, request.tile_size, size, per_sample)
            shape = (request.max_samples, *layout.sample_shape(frame.stride))
            target = frame.writer.allocate("images", shape, images.dtype)
            frame.arrays["images"] = target
        if frame.layout is None:
            raise ValueError("images in a frame that was begun without any")
        pixels = frame.layout.sample_index(frame.stride)
        for position, index in enumerate(indices, frame.count):
            np.copyto(target[position], images[index][pixels])
        copied = len(indices) * target[0].nbytes
        self._channel.block.words[Word.BYTES_COPIED] += copied

    def _hand_over(self, step: Mapping[str, Any], request: FrameRequest) -> bool:
        frame, self._frame = self._frame, None
        if frame is None or frame.count == 0:
            return False
        several = len(set(frame.steps)) > 1
        if several:
            steps = frame.writer.allocate("sample_steps", (frame.count,), np.dtype(np.float64))
            steps[:] = frame.steps
        fields = {
            **step,
            "slot": frame.slot,
            "arrays": _trimmed(frame),
            "channels_first": bool(frame.layout and frame.layout.channels_first),
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


def _batch_length(batch: BatchEvent) -> int:
    """Return how many samples can be shown: what every array given has.

    Raises:
        ValueError: The arrays are of different lengths.
    """
    given = {
        role: length(value)
        for role in ("images", "outputs", "targets", "texts", "sample_losses")
        if (value := getattr(batch, role)) is not None
    }
    if not given:
        return 0
    if len(set(given.values())) > 1 or None in given.values():
        told = ", ".join(f"{role} {size}" for role, size in given.items())
        raise ValueError(f"arrays of one batch differ in length: {told}")
    return next(iter(given.values())) or 0


def _fits(frame: _Frame, batch: BatchEvent, request: FrameRequest) -> bool:
    """Return whether a batch's arrays have the shapes of those gathered so far."""
    for role in ("images", "outputs", "targets", "sample_losses"):
        value, array = getattr(batch, role), frame.arrays.get(role)
        if (value is None) != (array is None):
            return False
        if value is None or array is None:
            continue
        found = as_numpy(value)
        if role == "images":
            same = image_layout(found.shape) == frame.layout
        else:
            same = found.shape[1:] == array.shape[1:]
        if not same or found.dtype != array.dtype or len(array) != request.max_samples:
            return False
    return True


def _copy_rows(frame: _Frame, role: str, rows: Array, indices: list[int], max_samples: int) -> None:
    target = frame.arrays.get(role)
    if target is None:
        shape = (max_samples, *rows.shape[1:])
        target = frame.arrays[role] = frame.writer.allocate(role, shape, rows.dtype)
    target[frame.count : frame.count + len(indices)] = rows[indices]


def _add_whole_batch(frame: _Frame, batch: BatchEvent, indices: list[int]) -> None:
    if batch.outputs is None or batch.targets is None or batch.sample_losses is not None:
        return
    outputs, targets = as_numpy(batch.outputs), as_numpy(batch.targets)
    if outputs.ndim != 2 or outputs.nbytes + targets.nbytes > _WHOLE_BATCH_BYTES:
        return
    for role, rows in (("batch_outputs", outputs), ("batch_targets", targets)):
        frame.writer.allocate(role, rows.shape, rows.dtype)[...] = rows
    chosen = frame.writer.allocate("sample_indices", (len(indices),), np.dtype(np.int64))
    chosen[:] = indices


def _trimmed(frame: _Frame) -> dict[str, tuple[str, list[int], int]]:
    """Return the layout with the arrays cut to the samples there are."""
    return {
        role: (dtype, [frame.count, *shape[1:]] if role in frame.arrays else shape, offset)
        for role, (dtype, shape, offset) in frame.writer.layout.items()
    }
