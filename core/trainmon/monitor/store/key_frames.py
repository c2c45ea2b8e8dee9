"""The pictures kept of one session, spread over its whole history."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from trainmon.v1.telemetry_pb2 import BatchData

__all__ = ["KeyFrames"]

_OVERHEAD_BYTES = 200


@dataclass(order=True)
class _Frame:
    step: int
    data: bytes = field(compare=False)

    @property
    def cost(self) -> int:
        return len(self.data) + _OVERHEAD_BYTES


class KeyFrames:
    """Pictures by step, the newest of a step; when they are too many, every other one goes.

    Args:
        limit_bytes: What they may hold in memory.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._frames: list[_Frame] = []
        self.nbytes = 0
        """Memory held, in bytes."""

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, batch: BatchData) -> None:
        """Keep a picture."""
        frame = _Frame(batch.global_step, batch.SerializeToString())
        index = bisect_left(self._frames, frame)
        if index < len(self._frames) and self._frames[index].step == frame.step:
            self.nbytes -= self._frames.pop(index).cost
        insort(self._frames, frame)
        self.nbytes += frame.cost
        while self.nbytes > self._limit_bytes and self.thin():
            pass

    def nearest(self, step: int) -> BatchData | None:
        """Return the picture nearest a step, of two the earlier; None where there is none."""
        if not self._frames:
            return None
        index = bisect_left(self._frames, _Frame(step, b""))
        near = self._frames[max(index - 1, 0) : index + 1]
        best = min(near, key=lambda frame: abs(frame.step - step))
        return BatchData.FromString(best.data)

    def thin(self) -> bool:
        """Drop every other picture, the newest stays; return whether there was any to drop."""
        if not self._frames:
            return False
        kept = self._frames[::-1][::2][::-1] if len(self._frames) > 1 else []
        self._frames = kept
        self.nbytes = sum(frame.cost for frame in kept)
        return True
