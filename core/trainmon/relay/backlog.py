"""Scalars that wait to be sent, thinned evenly when there are too many."""

from __future__ import annotations

import sys
from bisect import bisect_left
from dataclasses import dataclass
from enum import Enum

from trainmon.relay.merging import halve, join, rows_in
from trainmon.v1.telemetry_pb2 import MetricData, TelemetryRequest

__all__ = ["Entry", "RecordKind", "ScalarBacklog", "metrics_of"]

#: What an entry costs beside its message, in bytes.
_ENTRY_BYTES = 200


class RecordKind(Enum):
    """What a record is; the value names it in LossCount.kind."""

    SCALARS = "scalars"
    KEY_FRAME = "key_frame"
    EPOCH = "epoch"
    STATUS = "status"
    RESULT = "command_result"

    @property
    def reserved(self) -> bool:
        """Whether it has room of its own and is never thinned."""
        return self not in (RecordKind.SCALARS, RecordKind.KEY_FRAME)


@dataclass(eq=False)
class Entry:
    """One record: its message, serialised, without session and sequence."""

    kind: RecordKind
    message: bytes
    last: bool = False
    """The state after which nothing comes."""
    sequence: int = 0
    """0: not sent yet."""
    order: int = 0
    """Of several that wait, the least is sent first."""
    level: int = 0
    """How often the rows of scalars were halved."""

    @property
    def size(self) -> int:
        """Bytes of memory it takes."""
        return sys.getsizeof(self.message) + _ENTRY_BYTES


def metrics_of(entry: Entry) -> MetricData:
    """Return the scalars an entry holds."""
    return TelemetryRequest.FromString(entry.message).metric_data


class ScalarBacklog:
    """Entries of scalars in the order they came.

    Those of the lowest level are thinned first, the oldest of them first. So the levels never
    rise from one entry to the next, and no stretch of the past is thinner than another by more
    than one halving.
    """

    def __init__(self) -> None:
        # A list with its front cut off now and then: thinning works in its midst.
        self._entries: list[Entry] = []
        self._head = 0
        self.merged_rows = 0
        """Rows that were merged into others so far."""

    def __len__(self) -> int:
        return len(self._entries) - self._head

    @property
    def first(self) -> Entry | None:
        """The oldest; None: there is none."""
        return self._entries[self._head] if len(self) else None

    def append(self, entry: Entry) -> None:
        """Add the newest."""
        self._entries.append(entry)

    def take(self) -> Entry:
        """Remove the oldest."""
        entry = self._entries[self._head]
        self._head += 1
        if self._head * 2 > len(self._entries):
            self._cut()
        return entry

    def clear(self) -> list[Entry]:
        """Remove and return all."""
        self._cut()
        entries, self._entries = self._entries, []
        return entries

    def _cut(self) -> None:
        del self._entries[: self._head]
        self._head = 0

    def thin(self) -> int | None:
        """Merge rows once; return the bytes that were freed, or None where nothing can be."""
        self._cut()
        entries = self._entries
        if not entries:
            return None
        level = entries[-1].level
        index = bisect_left(entries, -level, key=lambda entry: -entry.level)
        if index + 1 < len(entries):
            return self._merge(index, 2, level)
        freed = self._merge(index, 1, level)
        if freed is None and index:
            # A single row that has nobody of its level joins those before it.
            return self._join(index - 1)
        return freed

    def _merge(self, index: int, count: int, level: int) -> int | None:
        """Put entries with their rows halved in the place of the first; None: nothing is gained."""
        old = self._entries[index : index + count]
        joined = join(map(metrics_of, old))
        # Rows merged for the first time get three columns more: halved once, they would not shrink.
        halvings = 1 if level else 2
        merged = joined
        for _ in range(halvings):
            merged = halve(merged)
        fewer = rows_in(joined) - rows_in(merged)
        if count == 1 and not fewer:
            return None
        self.merged_rows += fewer
        return self._put(index, old, merged, level + halvings)

    def _join(self, index: int) -> int:
        old = self._entries[index : index + 2]
        return self._put(index, old, join(map(metrics_of, old)), old[0].level)

    def _put(self, index: int, old: list[Entry], data: MetricData, level: int) -> int:
        request = TelemetryRequest(metric_data=data, timestamp_ms=data.timestamp_ms)
        entry = Entry(
            RecordKind.SCALARS, request.SerializeToString(), order=old[0].order, level=level
        )
        self._entries[index : index + len(old)] = [entry]
        return sum(each.size for each in old) - entry.size
