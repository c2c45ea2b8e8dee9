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
    attempt: int
    ordinal: int = field(compare=False)
    data: bytes = field(compare=False)

    @property
    def cost(self) -> int:
        return len(self.data) + _OVERHEAD_BYTES


class KeyFrames:
    """Pictures by step and attempt, the newest of each.

    When they are too many, only every second stays, of old and of new ones alike, then every
    fourth, and so on: what is left is spread evenly. The newest always stays.

    Args:
        limit_bytes: What they may hold in memory.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._frames: list[_Frame] = []
        self._newest: _Frame | None = None
        self._added = 0
        self._stride = 1
        self.nbytes = 0
        """Memory held, in bytes."""

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, batch: BatchData) -> None:
        """Keep a picture."""
        if self._newest is not None and self._newest.ordinal % self._stride:
            self._remove(self._newest)
        data = batch.SerializeToString()
        frame = _Frame(batch.global_step, batch.attempt, self._added, data)
        self._added += 1
        index = bisect_left(self._frames, frame)
        if index < len(self._frames) and self._frames[index] == frame:
            self._remove(self._frames[index])
        insort(self._frames, frame)
        self._newest = frame
        self.nbytes += frame.cost
        while self.nbytes > self._limit_bytes and self.thin():
            pass

    def nearest(self, step: int) -> BatchData | None:
        """Return the picture nearest a step; None where there is none.

        Of two equally near ones that of the later attempt counts, then that of the earlier step.
        """
        if not self._frames:
            return None
        beyond = bisect_left(self._frames, _Frame(step + 1, 0, 0, b""))
        near = self._frames[max(beyond - 1, 0) : beyond]
        if beyond < len(self._frames):
            after = self._frames[beyond].step
            end = bisect_left(self._frames, _Frame(after + 1, 0, 0, b""))
            near.append(self._frames[end - 1])
        best = min(near, key=lambda frame: (abs(frame.step - step), -frame.attempt, frame.step))
        return BatchData.FromString(best.data)

    def thin(self) -> bool:
        """Drop about every second picture; return whether there was any to drop."""
        if not self._frames:
            return False
        before = len(self._frames)
        if before <= 2:  # the newest goes last
            self._keep([each for each in self._frames if each is self._newest][: before - 1])
            return True
        while len(self._frames) == before:
            self._stride *= 2
            self._keep([each for each in self._frames if self._stays(each)])
        return True

    def _stays(self, frame: _Frame) -> bool:
        return frame is self._newest or not frame.ordinal % self._stride

    def _keep(self, frames: list[_Frame]) -> None:
        self._frames = frames
        self.nbytes = sum(frame.cost for frame in frames)
        if not frames:
            self._newest = None

    def _remove(self, frame: _Frame) -> None:
        self._keep([each for each in self._frames if each is not frame])
