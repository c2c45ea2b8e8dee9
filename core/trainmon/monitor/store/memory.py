"""History in memory, bounded in bytes for each session; gone when the monitor ends.

Under pressure key frames go first, then scalars collapse to rows of exact minimum, maximum and
mean. Epochs and commands, which are few, are kept by the session itself while it is remembered.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from trainmon.monitor.sequences import Sequences
from trainmon.monitor.store.base import (
    AnswerTooLargeError,
    Appended,
    MetricsQuery,
    Record,
    Store,
)
from trainmon.monitor.store.buckets import select_steps, thin
from trainmon.monitor.store.columns import Columns
from trainmon.monitor.store.key_frames import KeyFrames
from trainmon.v1.control_pb2 import CommandRecord
from trainmon.v1.telemetry_pb2 import BatchData, MetricSeries

__all__ = ["MAX_SERIES", "MemoryStore"]

#: Series of one session, attempts counted apart.
MAX_SERIES = 10_000
#: What a series costs beside its rows, in bytes.
_SERIES_OVERHEAD_BYTES = 1000


class _SessionHistory:
    """Everything kept of one session."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._columns: dict[tuple[str, int], Columns] = {}
        self._columns_bytes = 0
        self.sequences: dict[str, Sequences] = {}
        self.key_frames = KeyFrames(limit_bytes // 2)

    def append(self, record: Record) -> Sequence[str]:
        """Keep a record; return what was refused."""
        if record.sequence is not None:
            numbers = self.sequences.setdefault(record.producer_id, Sequences())
            if numbers.is_duplicate(record.sequence):
                return ()
            if numbers.overlaps(record.sequence, record.joined):
                return Appended(overlaps=True)
            numbers.commit(record.sequence, record.joined)
        if record.key_frame is not None:
            self.key_frames.add(record.key_frame)
        refused = [each.name for each in record.series if not self._add(each)]
        self._make_room()
        if not refused:
            return []
        complaint = (
            f"{len(refused)} new series, {refused[0][:64]!r} the first, were refused: a session "
            f"may have {MAX_SERIES}; the training should use fewer metric names"
        )
        return [complaint]

    def _add(self, series: MetricSeries) -> bool:
        key = (series.name, series.attempt)
        columns = self._columns.get(key)
        if columns is None:
            if len(self._columns) >= MAX_SERIES:
                return False
            columns = self._columns[key] = Columns()
            self._columns_bytes += columns.nbytes + _SERIES_OVERHEAD_BYTES
        before = columns.nbytes
        columns.append(series)
        self._columns_bytes += columns.nbytes - before
        return True

    def _make_room(self) -> None:
        while self._columns_bytes + self.key_frames.nbytes > self._limit_bytes:
            if not self.key_frames.thin() and not self._collapse_largest():
                return

    def _collapse_largest(self) -> bool:
        largest = max(self._columns.values(), key=lambda each: each.nbytes)
        before = largest.nbytes
        if not largest.collapse():
            return False
        self._columns_bytes += largest.nbytes - before
        return True

    async def metrics(self, query: MetricsQuery) -> list[MetricSeries]:
        """Return scalars, thinned."""
        wanted = set(query.names)
        chosen = sorted(key for key in self._columns if not wanted or key[0] in wanted)
        answer: list[MetricSeries] = []
        left_bytes = query.max_bytes
        for name, attempt in chosen:
            columns = self._columns[name, attempt]
            rows = await thin(select_steps(columns, query), query.max_points)
            left_bytes -= rows.message_bytes
            if left_bytes < 0:
                raise AnswerTooLargeError(query.max_bytes)
            if len(rows):
                answer.append(rows.message(name, attempt))
            await asyncio.sleep(0)  # ten thousand series take a second; others get their turn
        return answer


class MemoryStore(Store):
    """Keeps history in memory.

    Args:
        limit_bytes: Greatest memory for one session, in bytes.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._identity = secrets.token_hex(6)
        self._sessions: dict[str, _SessionHistory] = {}

    @property
    def identity(self) -> str:
        """New with each store: nothing outlives the process."""
        return self._identity

    async def append(self, session_id: str, record: Record) -> Sequence[str]:
        """Keep a record; see :class:`Store`."""
        history = self._sessions.get(session_id)
        if history is None:
            history = self._sessions[session_id] = _SessionHistory(self._limit_bytes)
        return history.append(record)

    async def stored_sequence(self, session_id: str, producer_id: str) -> int | None:
        """Return a producer's highest number; see :class:`Store`."""
        history = self._sessions.get(session_id)
        numbers = history.sequences.get(producer_id) if history is not None else None
        return numbers.stored if numbers is not None else None

    async def metrics(self, session_id: str, query: MetricsQuery) -> list[MetricSeries]:
        """Return scalars; see :class:`Store`."""
        history = self._sessions.get(session_id)
        return await history.metrics(query) if history is not None else []

    async def key_frame(self, session_id: str, step: int) -> BatchData | None:
        """Return the nearest picture; see :class:`Store`."""
        history = self._sessions.get(session_id)
        return history.key_frames.nearest(step) if history is not None else None

    async def put_command(self, record: CommandRecord) -> None:
        """Do nothing: the session's own book of commands is as lasting as this store."""

    async def forget(self, session_id: str) -> None:
        """Drop a session; see :class:`Store`."""
        self._sessions.pop(session_id, None)

    async def close(self) -> None:
        """Release everything."""
        self._sessions.clear()
