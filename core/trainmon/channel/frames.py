"""Pictures on their way from training to relay: slots of shared memory.

A frame is one slot with arrays laid end to end, and a FRAME record that describes them. Fields of
the record: ``slot``, ``arrays`` ({role: [dtype, shape, offset]}), ``channels_first``,
``tile_size``, ``key_frame`` (for the history), ``live`` (somebody watches), ``normalization``
({mean, std} per channel, of pixels from 0 to 1; absent: unknown), and of the step:
``global_step``, ``epoch``, ``batch_index``, ``time_ms``, ``batch_size``, ``loss``,
``optimizer_step``, ``attempt``; ``texts``, ``output_texts``, ``target_texts`` and ``tokens`` (N of
each). ``drawn`` names which of outputs and targets are pictures themselves, with their shapes; they
do not go along. ``maps`` names which hold something for every pixel, with the axis of
their classes (1 or 3; 0: they have none). Absent fields are unknown.

Roles, with N samples of the frame and B of the batch: ``images`` (N, H, W), (N, H, W, channels)
or, with ``channels_first``, (N, channels, H, W), in the training's own layout and type, for to
transpose here would cost the training time; ``image_sizes`` (N, 4), where there are boxes or the
pictures have different sizes and lie each in the upper left corner of its place: height and width
there, then of the user's picture; ``outputs`` and ``targets`` (N, …); ``output_boxes`` and
``target_boxes`` (N, 64, 6): left, top, right, bottom in the user's pixels, class, score, NaN where
there is none; ``token_losses`` (N, 256), likewise; ``sample_steps`` (N,) where they are of several
batches; ``sample_losses`` (N,); ``batch_outputs`` and ``batch_targets`` (B, …) with
``sample_indices`` (N,) where the whole batch is small enough for the relay to compute each
sample's loss and compare the mean with the batch's, ``sample_batches`` (N, 2), the loss of each
sample's batch and how many samples it has, where whole batches were gathered.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from trainmon.channel.block import ControlBlock, SlotState, Word

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["SLOTS", "SLOT_BYTES", "FrameSlots", "SlotWriter"]

SLOTS = 3
#: Bytes of one slot. 16 RGB float32 tiles of 512 px need 48 MiB; pages not written cost nothing.
SLOT_BYTES = 64 << 20
_ALIGNMENT = 64
#: As plain numbers: an enumeration's members are looked up anew each time.
_SLOT_0, _FREE = int(Word.SLOT_0), int(SlotState.FREE)


class FrameSlots:
    """The slots and whose turn it is with each.

    Args:
        view: ``SLOTS * SLOT_BYTES`` shared bytes.
        block: Where the slots' states are.
    """

    def __init__(self, view: memoryview, block: ControlBlock) -> None:
        self._view = view
        self._words = block.words

    def free_slot(self) -> int | None:
        """Return a slot the training may write, or None."""
        for slot in range(SLOTS):
            if self._words[_SLOT_0 + slot] == _FREE:  # as is_free says: asked at every picture
                return slot
        return None

    def hand_over(self, slot: int) -> None:
        """Give a written slot to the relay."""
        self._words[Word.SLOT_0 + slot] = SlotState.READY

    def free(self, slot: int) -> None:
        """Give a slot back to the training."""
        self._words[Word.SLOT_0 + slot] = SlotState.FREE

    def is_free(self, slot: int) -> bool:
        """Return whether the training may write a slot."""
        return bool(self._words[Word.SLOT_0 + slot] == SlotState.FREE)

    def holds(self, slot: int, position: int) -> bool:
        """Whether a slot still holds what the record at a position of the ring tells of."""
        return not self.is_free(slot) and position >= self._words[Word.SLOT_0_SINCE + slot]

    def close(self) -> None:
        """Let go of the shared bytes; an array somebody still holds keeps them."""
        with suppress(BufferError):
            self._view.release()

    def writer(self, slot: int) -> SlotWriter:
        """Return a writer at the beginning of a slot."""
        start = slot * SLOT_BYTES
        return SlotWriter(self._view[start : start + SLOT_BYTES])

    def arrays(
        self, slot: int, layout: Mapping[str, tuple[str, list[int], int]]
    ) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of a slot, not copied: they change once the slot is freed.

        Raises:
            ValueError: An array does not lie within the slot.
        """
        import numpy as np

        base = slot * SLOT_BYTES
        found = {}
        for role, (dtype, shape, offset) in layout.items():
            count = int(np.prod(shape, dtype=np.int64))
            end = offset + count * np.dtype(dtype).itemsize
            if not 0 <= slot < SLOTS or offset < 0 or end > SLOT_BYTES:
                raise ValueError(f"array {role} of slot {slot} ends at byte {end} of {SLOT_BYTES}")
            flat = np.frombuffer(self._view, dtype=dtype, count=count, offset=base + offset)
            found[role] = flat.reshape(shape)
        return found


class SlotWriter:
    """Lays arrays end to end into one slot.

    Args:
        view: The slot's bytes.
    """

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._end = 0
        self.layout: dict[str, tuple[str, list[int], int]] = {}
        """Of each array: dtype, shape, offset in bytes; goes into the FRAME record."""

    @property
    def room(self) -> int:
        """Bytes left."""
        return len(self._view) - self._end

    def allocate(self, role: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return an uninitialised array in the slot, for the caller to fill.

        Raises:
            ValueError: It does not fit.
        """
        import numpy as np

        count = int(np.prod(shape, dtype=np.int64))
        need = count * dtype.itemsize
        if need > self.room:
            raise ValueError(f"{role} of shape {shape} needs {need} bytes, {self.room} are left")
        array = np.frombuffer(self._view, dtype=dtype, count=count, offset=self._end)
        self.layout[role] = (dtype.str, list(shape), self._end)
        self._end = min(len(self._view), -(-(self._end + need) // _ALIGNMENT) * _ALIGNMENT)
        return array.reshape(shape)
