"""Where the arrays of frames of one shape lie in one slot: worked out once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainmon.capture.arrays import Array
from trainmon.capture.sources import ArraySource, Reading
from trainmon.channel import SlotWriter, encode_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from trainmon.capture.sources import Source

__all__ = ["FramePlan", "goes_whole"]

#: A batch whose outputs are no larger than this goes to the relay whole, so that it can check each
#: sample's loss against the batch's without any arithmetic here: 64 samples of 1,000 classes.
_WHOLE_BATCH_BYTES = 264 << 10


def goes_whole(reading: Reading) -> bool:
    """Return whether all outputs and targets of a batch go along."""
    outputs, targets = reading.arrays.get("outputs"), reading.arrays.get("targets")
    if not (isinstance(outputs, ArraySource) and isinstance(targets, ArraySource)):
        return False
    if "sample_losses" in reading.arrays or outputs.array.ndim > 2:
        return False
    if not (outputs.whole and targets.whole):
        return False
    return outputs.array.nbytes + targets.array.nbytes <= _WHOLE_BATCH_BYTES


class FramePlan:
    """Places for the arrays of one frame.

    Args:
        writer: The slot.
        reading: Of the first batch.
        count: Samples of a frame at most.
        whole: Whether the whole batch's outputs and targets go along.
    """

    def __init__(self, writer: SlotWriter, reading: Reading, count: int, *, whole: bool) -> None:
        arrays: Mapping[str, Source] = reading.arrays
        self.targets = {
            role: writer.allocate(role, (count, *source.shape), source.dtype)
            for role, source in arrays.items()
        }
        self.steps = writer.allocate("sample_steps", (count,), np.dtype(np.float64))
        self.batches = writer.allocate("sample_batches", (count, 2), np.dtype(np.float64))
        self.whole: dict[str, Array] = {}
        if whole:
            for role in ("outputs", "targets"):
                source: Any = arrays[role]
                self.whole[role] = writer.allocate(
                    f"batch_{role}", source.array.shape, source.array.dtype
                )
            self.indices = writer.allocate("sample_indices", (count,), np.dtype(np.int64))
        self._places = writer.layout
        self._texts: dict[tuple[int, bool], str] = {}
        self._judged = {"outputs", "targets"} <= arrays.keys() and "sample_losses" not in arrays

    def places(self, count: int, *, several: bool) -> str:
        """Return the layout of a frame of ``count`` samples, encoded for its record as a field.

        Args:
            count: How many samples there are.
            several: Whether they are of several batches.
        """
        text = self._texts.get((count, several))
        if text is None:
            found = {"arrays": self._found(count, several=several)}
            text = self._texts[count, several] = encode_json(found)
        return text

    def _found(self, count: int, *, several: bool) -> dict[str, tuple[str, list[int], int]]:
        left_out = set()
        if not several:
            left_out.add("sample_steps")
        if several or not self.whole:
            left_out |= {"batch_outputs", "batch_targets", "sample_indices"}
        if not self._judged or "batch_outputs" not in left_out:
            left_out.add("sample_batches")
        found = {}
        for role, (dtype, shape, offset) in self._places.items():
            if role not in left_out:
                cut = shape if role.startswith("batch_") else [count, *shape[1:]]
                found[role] = (dtype, cut, offset)
        return found
