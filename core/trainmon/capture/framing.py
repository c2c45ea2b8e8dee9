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

from trainmon.capture.arrays import Array
from trainmon.capture.device_batch import DeviceBatch
from trainmon.capture.frame_plan import FramePlan, goes_whole
from trainmon.capture.recognised import Recipe, Recognised
from trainmon.capture.sources import ArraySource, Problem, Reading, at_once, lengths, read
from trainmon.channel import Kind, TrainerChannel, Word, pack_json

if TYPE_CHECKING:
    from trainmon.capture.pace import Due
    from trainmon.events import BatchEvent, FrameRequest

__all__ = ["FrameWriter"]

_GATHER_NS = 1_000_000_000
_MAX_PLANS = 8
#: Up to here a whole permutation is cheaper than drawing without repetition.
_PERMUTED = 4096


class _Frame:
    """A frame under way: one slot, filled by one batch or by several small ones."""

    def __init__(self, slot: int, due: Due, started_ns: int) -> None:
        self.slot = slot
        self.due = due
        self.started_ns = started_ns
        self.count = 0
        self.words: dict[str, list[Any]] = {}
        self.maps: dict[str, int] = {}
        self.drawn: dict[str, tuple[int, ...]] = {}
        self.channels_first = False
        self.first_step = 0
        self.several = False
        self.key: tuple[Any, ...] | None = None
        self.plan: FramePlan | None = None


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
        self.frame: _Frame | None = None
        """The frame under way, which waits for samples; None: there is none."""
        self._plans: dict[tuple[Any, ...], FramePlan] = {}
        self._recognised = Recognised()

    @property
    def for_history(self) -> bool:
        """Whether the frame under way is a key frame."""
        return self.frame is not None and self.frame.due.key_frame

    def begin(self, due: Due, now_ns: int) -> bool:
        """Take a slot for a new frame; False where the relay still reads them all."""
        slot = self._channel.slots.free_slot()
        if slot is None:
            return False
        self.frame = _Frame(slot, due, now_ns)
        return True

    def close(self) -> None:
        """Give up what is under way, and let go of the slots."""
        self.frame = None
        self._plans.clear()

    def send_for(self, batch: BatchEvent, request: FrameRequest) -> DeviceBatch | None:
        """Choose samples of a batch on a device and have them sent; None: it has none."""
        given = lengths(batch, self._problem)
        total = next(iter(given.values()), 0)
        wanted = request.max_samples - (self.frame.count if self.frame is not None else 0)
        if not total:
            return None
        return DeviceBatch(batch, given, self._choose(total, wanted), request, self._problem)

    def give_up(self) -> None:
        """Let go of the frame under way: its samples do not come."""
        self.frame = None

    def recognise(self, batch: BatchEvent, request: FrameRequest) -> Recipe | None:
        """Return how a batch is read, one in the CPU's memory; None where its kind is not known."""
        return self._recognised.find(batch, request)

    def add(
        self,
        batch: BatchEvent,
        step: Mapping[str, Any],
        request: FrameRequest,
        now_ns: int,
        step_ns: int = 0,
        rows: Array | None = None,
        recipe: Recipe | None = None,
    ) -> bool:
        """Add samples of a batch; True when the frame was handed to the relay.

        A frame waits for the first batch that has samples.

        Args:
            batch: What the adapter collected.
            step: Fields of the step for the FRAME record.
            request: How many samples are wanted, and how large.
            now_ns: ``time.monotonic_ns()``.
            step_ns: How long a step takes: a frame does not wait for one that would come too late.
            rows: The samples that were chosen when they were sent for; None: choose.
            recipe: What :meth:`recognise` says.
        """
        frame, self.frame = self.frame, None
        if frame is None:
            return False
        room = request.max_samples - frame.count
        known = None if recipe is None else self._read_as_known(batch, recipe, room)
        total, chosen, reading = known or self._read(batch, request, room, rows)
        if not reading:
            # Of useless samples the next are looked at when the next picture is due.
            self.frame = frame if frame.count or not total else None
            return False
        # Of what is only a part of its batch no loss can be checked against that of the batch.
        size = max(step.get("batch_size") or 0, total)
        if not self._place(frame, reading, total, request, whole=size == total):
            return self._hand_over(frame, step, request)
        self._copy(frame, reading, chosen, size, step)
        late = now_ns + step_ns - frame.started_ns >= _GATHER_NS
        if frame.count < request.max_samples and not late:
            self.frame = frame
            return False
        return self._hand_over(frame, step, request)

    def _read_as_known(
        self, batch: BatchEvent, recipe: Recipe, room: int
    ) -> tuple[int, Array, Reading] | None:
        """Do as :meth:`_read` what a recipe says; None: it is not to be read so."""
        chosen = self._choose(recipe.total, min(room, recipe.most))
        try:
            return recipe.total, chosen, recipe.read(batch, chosen)
        except Exception:  # noqa: BLE001 - within torch.func a tensor of its kind has no memory
            return None

    def _read(
        self, batch: BatchEvent, request: FrameRequest, room: int, rows: Array | None
    ) -> tuple[int, Array, Reading]:
        """Return how many samples a batch has, which were chosen, and what was read of them."""
        given = lengths(batch, self._problem)
        total = next(iter(given.values()), 0)
        if not total:
            return 0, self._choose(0, 0), Reading()
        if rows is None:
            rows = self._choose(total, min(room, at_once(batch, request.max_samples)))
        reading = read(batch, given, rows, request, self._problem)
        self._recognised.learn(batch, request, total, rows, reading)
        return total, rows, reading

    def _place(
        self, frame: _Frame, reading: Reading, total: int, request: FrameRequest, *, whole: bool
    ) -> bool:
        """Find where the arrays go; False where they do not fit those gathered so far."""
        whole = whole and total >= request.max_samples and goes_whole(reading)
        key = (frame.slot, total if whole else 0, request, reading.key)
        if frame.key is not None:
            return frame.key[2:] == key[2:]
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            writer = self._channel.slots.writer(frame.slot)
            plan = FramePlan(writer, reading, request.max_samples, whole=whole)
            self._plans[key] = plan
        frame.key, frame.plan = key, plan
        frame.maps, frame.drawn = reading.maps, reading.drawn
        frame.channels_first = reading.channels_first
        return True

    def _copy(
        self, frame: _Frame, reading: Reading, chosen: Array, size: int, step: Mapping[str, Any]
    ) -> None:
        plan = frame.plan
        if plan is None:
            raise ValueError("a frame without a place for its arrays")
        start, number = frame.count, step["global_step"]
        end = start + len(chosen)
        for role, target in plan.targets.items():
            reading.arrays[role].copy(target[start:end])
        if "images" in plan.targets:
            self._channel.block.words[Word.BYTES_COPIED] += plan.targets["images"][start:end].nbytes
        for role, words in reading.words.items():
            frame.words.setdefault(role, []).extend(words)
        if start == 0:
            frame.first_step = number
            for role, target in plan.whole.items():
                source = reading.arrays[role]
                if isinstance(source, ArraySource):
                    target[...] = source.array
            if plan.whole:
                plan.indices[:end] = chosen
        frame.several |= number != frame.first_step
        plan.steps[start:end] = number
        loss = step.get("loss")
        plan.batches[start:end] = (np.nan if loss is None else loss, size)
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
            "channels_first": frame.channels_first,
            "tile_size": request.tile_size,
            "live": frame.due.live,
            "key_frame": frame.due.key_frame,
        }
        fields.update(frame.words)
        if frame.maps:
            fields["maps"] = frame.maps
        if frame.drawn:
            fields["drawn"] = frame.drawn
        if self._normalization:
            fields["normalization"] = self._normalization
        arrays = plan.places(frame.count, several=frame.several) if plan else '{"arrays":{}}'
        record = pack_json(Kind.FRAME, fields, arrays)
        if not self._channel.send_frame(frame.slot, record, self._channel.records.capacity // 8):
            self._channel.block.words[Word.THINNED_PICTURES] += 1
            return False
        return True
