"""What the monitor asks of a store.

Everything is a coroutine, so that a store may wait for a disk or a database. Calls for one session
come one after the other; calls for several may overlap.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from trainmon.errors import TrainmonError
from trainmon.v1.control_pb2 import CommandRecord
from trainmon.v1.telemetry_pb2 import BatchData, EpochData, MetricSeries

__all__ = ["AnswerTooLargeError", "MetricsQuery", "Record", "Store"]


@dataclass(frozen=True)
class Record:
    """What one request adds to the history. Its messages are not changed after they were given."""

    producer_id: str
    """From registration; empty for a client of the original protocol."""
    sequence: int | None = None
    """The producer's number of this record; None for one that was not numbered."""
    series: Sequence[MetricSeries] = ()
    """Scalars, under the names they are asked for."""
    epoch: EpochData | None = None
    """The end of an epoch."""
    key_frame: BatchData | None = None
    """A picture for the history."""


@dataclass(frozen=True)
class MetricsQuery:
    """Which scalars are wanted."""

    names: Sequence[str] = ()
    """Names of series; empty: all."""
    first_step: int | None = None
    """None: from the beginning."""
    last_step: int | None = None
    """Inclusive. None: to the end."""
    max_points: int = 0
    """At most so many rows a series; 0: every point."""
    max_bytes: int = 64 << 20
    """Greatest answer. It is built in memory, so it is refused before and not after."""


class AnswerTooLargeError(TrainmonError):
    """The answer to a query would be too large. The caller should ask for less.

    Args:
        limit: Greatest answer, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"the answer would have more than {limit} bytes, the limit: ask for fewer series, a "
            "shorter range of steps, or set max_points"
        )


class Store(ABC):
    """Keeps the history of every session."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Names what is stored here, letters and digits: another store has another."""

    @abstractmethod
    async def append(self, session_id: str, record: Record) -> Sequence[str]:
        """Keep a record; when this returns it is committed.

        A record whose (session, producer, sequence) is kept already is dropped.

        Returns:
            What of it was refused and which limit, for people; empty where nothing was.
        """

    @abstractmethod
    async def stored_sequence(self, session_id: str, producer_id: str) -> int | None:
        """Return a producer's highest committed number; None where there is none."""

    @abstractmethod
    async def metrics(self, session_id: str, query: MetricsQuery) -> list[MetricSeries]:
        """Return scalars, thinned to buckets with exact extremes; by name, then attempt.

        Raises:
            AnswerTooLargeError: They exceed the query's ``max_bytes``.
        """

    @abstractmethod
    async def key_frame(self, session_id: str, step: int) -> BatchData | None:
        """Return the picture kept nearest a step; None where there is none."""

    @abstractmethod
    async def put_command(self, record: CommandRecord) -> None:
        """Keep the present state of a command; when this returns it is committed."""

    @abstractmethod
    async def forget(self, session_id: str) -> None:
        """Drop everything of a session."""

    @abstractmethod
    async def close(self) -> None:
        """Release what the store holds."""
