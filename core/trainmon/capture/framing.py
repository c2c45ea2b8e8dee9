"""Copying the samples of a step into a slot that the relay reads.

At most 16 samples, of large pictures only every n-th pixel, straight into shared memory: nothing
of the user's is kept past the call. Batches under 16 are gathered until 16 are there or a second
has passed. A loop shows arrays of the same shapes again and again, so where they lie in each slot
is worked out once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainmon.capture.arrays import Array, as_numpy, length, pick, reads_in_place
from trainmon.capture.images import ImageLayout, image_layout, in_memory_order, stride_for
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
#: Bytes of pixels a frame may hold: 16 RGB float32 tiles of 256 px. More would be copied for longer
#: than a step may wait.
_MOST_PIXEL_BYTES = 12 << 20
#: What outputs, targets and losses may hold of one sample: 32,768 classes in float32.
_MOST_SAMPLE_BYTES = 1 << 17
#: Characters of one sample's text.
_MOST_CHARACTERS = 20_000
_MAX_PLANS = 8
#: Up to here a whole permutation is cheaper than drawing without repetition.
_PERMUTED = 4096

Arrays = dict[str, Array]
Problem = Callable[[str, Exception], None]


@dataclass(frozen=True)
class _Source:
    """What a batch has of one role."""

    array: Array
    rows: Array
    """The rows that were chosen."""
    whole: bool
    """Whether ``array`` is all of the batch."""


Sources = dict[str, _Source]


class _Plan:
    """Where the arrays of frames of one shape lie in one slot.

    Args:
        writer: The slot.
        sources: Of the first batch.
        request: What is wanted.
        whole: Whether the whole batch's outputs and targets go along.
    """

    def __init__(
        self, writer: SlotWriter, sources: Sources, request: FrameRequest, *, whole: bool
    ) -> None:
        count = request.max_samples
        self.layout: ImageLayout | None = None
        self.pixels: tuple[slice, ...] | None = None
        self.targets: Arrays = {}
        for role, source in sources.items():
            array, shape = source.array, source.array.shape[1:]
            if role == "images":
                shape = self._plan_images(array, request)
            self.targets[role] = writer.allocate(role, (count, *shape), array.dtype)
        self.steps = writer.allocate("sample_steps", (count,), np.dtype(np.float64))
        self.whole: Arrays = {}
        if whole:
            for role in ("outputs", "targets"):
                array = sources[role].array
                self.whole[role] = writer.allocate(f"batch_{role}", array.shape, array.dtype)
            self.indices = writer.allocate("sample_indices", (count,), np.dtype(np.int64))
        self._places = writer.layout

    def _plan_images(self, images: Array, request: FrameRequest) -> tuple[int, ...]:
        self.layout = layout = image_layout(images.shape)
        room = _MOST_PIXEL_BYTES // request.max_samples
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
        problem: Told of what is of no use, by role; the rest of the batch is shown.
    """

    def __init__(
        self,
        channel: TrainerChannel,
        normalization: Mapping[str, Sequence[float]] | None,
        problem: Problem,
    ) -> None:
        self._channel = channel
        self._normalization = normalization
        self._problem = problem
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

    def close(self) -> None:
        """Give up what is under way, and let go of the slots."""
        self._frame = None
        self._plans.clear()

    def add(
        self,
        batch: BatchEvent,
        step: Mapping[str, Any],
        request: FrameRequest,
        now_ns: int,
        step_ns: int = 0,
    ) -> bool:
        """Add samples of a batch; True when the frame was handed to the relay.

        A frame waits for the first batch that has samples.

        Args:
            batch: What the adapter collected.
            step: Fields of the step for the FRAME record.
            request: How many samples are wanted, and how large.
            now_ns: ``time.monotonic_ns()``.
            step_ns: How long a step takes: a frame does not wait for one that would come too late.
        """
        frame, self._frame = self._frame, None
        if frame is None:
            return False
        given = self._given(batch)
        total = next(iter(given.values()), 0)
        chosen = self._choose(total, request.max_samples - frame.count)
        sources = self._sources(batch, given, chosen)
        texts = batch.texts if "texts" in given else None
        if not total or (not sources and texts is None):
            # Of useless samples the next are looked at when the next picture is due.
            self._frame = frame if frame.count or not total else None
            return False
        if not self._place(frame, sources, total, request):
            return self._hand_over(frame, step, request)
        self._copy(frame, sources, texts, chosen, step["global_step"])
        late = now_ns + step_ns - frame.started_ns >= _GATHER_NS
        if frame.count < request.max_samples and not late:
            self._frame = frame
            return False
        return self._hand_over(frame, step, request)

    def _given(self, batch: BatchEvent) -> dict[str, int]:
        """Return how many samples there are of each role: as many as of the first, or none."""
        given: dict[str, int] = {}
        for role in (*_ROLES, "texts"):
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
                self._problem(role, error)
        return given

    def _sources(self, batch: BatchEvent, given: Mapping[str, int], chosen: Array) -> Sources:
        """Read each role, leaving out what is of no use."""
        sources: Sources = {}
        for role in _ROLES:
            if not given.get(role):
                continue
            try:
                sources[role] = _read(role, getattr(batch, role), chosen)
            except Exception as error:  # noqa: BLE001 - a stranger's array; told, the rest is shown
                self._problem(role, error)
        return sources

    def _place(self, frame: _Frame, sources: Sources, total: int, request: FrameRequest) -> bool:
        """Find where the arrays go; False where they do not fit those gathered so far."""
        whole = total >= request.max_samples and _goes_whole(sources)
        shapes = tuple(
            (role, source.array.shape[1:], source.array.dtype) for role, source in sources.items()
        )
        key = (frame.slot, total if whole else 0, request, shapes)
        if frame.key is not None:
            return frame.key[2:] == key[2:]
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            writer = self._channel.slots.writer(frame.slot)
            plan = self._plans[key] = _Plan(writer, sources, request, whole=whole)
        frame.key, frame.plan = key, plan
        return True

    def _copy(
        self,
        frame: _Frame,
        sources: Sources,
        texts: Sequence[str] | None,
        chosen: Array,
        step: int,
    ) -> None:
        plan = frame.plan
        if plan is None:
            raise ValueError("a frame without a place for its arrays")
        start = frame.count
        end = start + len(chosen)
        for role, target in plan.targets.items():
            source = sources[role]
            if role == "images" and plan.pixels is not None:
                for position, row in enumerate(source.rows, start):
                    np.copyto(target[position], source.array[row][plan.pixels])
            else:
                _take(source.array, source.rows, target[start:end])
        if "images" in plan.targets:
            self._channel.block.words[Word.BYTES_COPIED] += plan.targets["images"][start:end].nbytes
        if texts is not None:
            frame.texts.extend(str(texts[row])[:_MOST_CHARACTERS] for row in chosen)
        if start == 0:
            frame.first_step = step
            for role, target in plan.whole.items():
                target[...] = sources[role].array
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
        record = pack_json(Kind.FRAME, fields)
        if not self._channel.send_frame(frame.slot, record, self._channel.records.capacity // 8):
            self._channel.block.words[Word.THINNED_PICTURES] += 1
            return False
        return True


def _read(role: str, value: Any, chosen: Array) -> _Source:
    """Return what a batch has of a role.

    Raises:
        ValueError: It has the wrong shape, or is too large to be copied within a step.
        TypeError: It is no array of numbers in the CPU's memory.
    """
    whole = reads_in_place(value)
    array = as_numpy(value) if whole else pick(value, chosen.tolist())
    if role == "images":
        array = in_memory_order(array)
        image_layout(array.shape)
    elif array[:1].nbytes > _MOST_SAMPLE_BYTES:
        raise ValueError(
            f"{array[:1].nbytes} bytes a sample, of shape {array.shape[1:]}; at most "
            f"{_MOST_SAMPLE_BYTES} are copied, so that no step waits: hand over less of them"
        )
    return _Source(array, chosen if whole else np.arange(len(chosen)), whole)


def _goes_whole(sources: Sources) -> bool:
    outputs, targets = sources.get("outputs"), sources.get("targets")
    if outputs is None or targets is None or "sample_losses" in sources:
        return False
    if not (outputs.whole and targets.whole and outputs.array.ndim == 2):
        return False
    return outputs.array.nbytes + targets.array.nbytes <= _WHOLE_BATCH_BYTES


def _take(source: Array, chosen: Array, target: Array) -> None:
    """Copy the chosen rows; one by one where there are gaps, for NumPy would copy all first."""
    if source.flags.c_contiguous:
        np.take(source, chosen, axis=0, out=target, mode="clip")
        return
    for position, index in enumerate(chosen):
        target[position] = source[index]
