"""The epochs of one session."""

from __future__ import annotations

from collections.abc import Iterator

from trainmon.v1.telemetry_pb2 import EpochData

__all__ = ["EpochTable"]

#: What the epochs of one session may hold in memory, in bytes; some hundred thousand.
LIMIT_BYTES = 16 << 20


class EpochTable:
    """Epochs by attempt and number, in the order they ended; an epoch told again is replaced."""

    def __init__(self) -> None:
        self._epochs: dict[tuple[int, int], EpochData] = {}
        self._bytes = 0

    def __iter__(self) -> Iterator[EpochData]:
        return iter(self._epochs.values())

    def add(self, epoch: EpochData) -> None:
        """Keep an epoch; beyond the limit the oldest goes."""
        key = (epoch.attempt, epoch.epoch)
        if key in self._epochs:
            self._bytes -= self._epochs[key].ByteSize()
        self._epochs[key] = epoch
        self._bytes += epoch.ByteSize()
        while self._bytes > LIMIT_BYTES and len(self._epochs) > 1:
            oldest = self._epochs.pop(next(iter(self._epochs)))
            self._bytes -= oldest.ByteSize()
