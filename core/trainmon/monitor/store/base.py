"""What the monitor asks of a store.

Everything is a coroutine, so that a store may wait for a disk or a database. Calls for one session
come one after the other; calls for several may overlap.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainmon.errors import TrainmonError
from trainmon.v1.control_pb2 import CommandRecord
from trainmon.v1.dashboard_pb2 import SessionSnapshot, SessionSummary
from trainmon.v1.telemetry_pb2 import (
    BatchData,
    EpochData,
    ErrorResponse,
    MetricSeries,
    RegisterTrainingSessionRequest,
    StatusUpdate,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "AnswerTooLargeError",
    "Appended",
    "EventsPage",
    "ListedSession",
    "MetricsQuery",
    "ProducerRecord",
    "Record",
    "SessionRecord",
    "Store",
    "StoreReadError",
    "StoreWriteError",
    "StoredEvent",
    "StoredSession",
]


@dataclass(frozen=True)
class ProducerRecord:
    """One process of a run, as far as a monitor that starts again must know it."""

    producer_id: str
    rank: int = 0
    hostname: str = ""
    pid: int = 0
    sends_metric_data: bool = False
    last_seen_ms: int = 0
    status: int = 0
    """A TrainingStatus: what it said last."""
    trainer: int = 0
    """A TrainerLiveness: what its relay saw last."""
    stored: int | None = None
    """Its highest committed number. The store's own: nobody else sets it."""
    missing: int = 0
    """How many numbers were skipped. The store's own too."""


@dataclass(frozen=True)
class SessionRecord:
    """What is known of a run beside what it sent. Its messages are not changed afterwards."""

    session_id: str
    run_key: str
    incarnation: str
    """Names this session's time in the store: deleted and registered again, it has another."""
    started_ms: int
    ended_ms: int | None
    snapshot: SessionSnapshot
    """Summary, rates and notes; what the store has elsewhere is left out."""
    registration: RegisterTrainingSessionRequest | None
    """None where it is as it was when it was last put."""
    producers: Sequence[ProducerRecord] = ()


@dataclass(frozen=True)
class Record:
    """What one request adds to the history. Its messages are not changed after they were given."""

    producer_id: str
    """From registration; empty for a client of the original protocol."""
    sequence: int | None = None
    """The producer's number of this record; None for one that was not numbered."""
    joined: int = 1
    """How many of the producer's records this one holds, the last of which is ``sequence``."""
    series: Sequence[MetricSeries] = ()
    """Scalars, under the names they are asked for."""
    epoch: EpochData | None = None
    """The end of an epoch."""
    key_frame: BatchData | None = None
    """A picture for the history."""
    status: StatusUpdate | None = None
    """What the training said it is doing."""
    command: CommandRecord | None = None
    """What became of a command with this record."""
    session: SessionRecord | None = None
    """The session as it is with this record."""
    timestamp_ms: int = 0
    """When the scalars were sent: ms since the epoch, the sender's clock."""


class Appended(tuple[str, ...]):  # noqa: SLOT001 - a tuple cannot have slots that are filled
    """What of a record was refused, for people; and where the record stands in its session.

    Args:
        refused: What was refused and which limit; empty where nothing was.
        position: Its place among all that was kept of the session, from 1, ascending; None where
            the store counts none, or the record was kept before.
        overlaps: Whether it was not kept because it holds several records, of which some are.
    """

    position: int | None
    overlaps: bool

    def __new__(
        cls, refused: Iterable[str] = (), position: int | None = None, *, overlaps: bool = False
    ) -> Self:
        """Make one."""
        made = super().__new__(cls, refused)
        made.position, made.overlaps = position, overlaps
        return made


@dataclass(frozen=True)
class ListedSession:
    """One line of the list of all sessions."""

    summary: SessionSummary
    """As it was put last."""
    run_key: str


@dataclass(frozen=True)
class StoredEvent:
    """Something viewers were told, or would have been: a MetricData, EpochData and so on."""

    position: int
    kind: str
    """``metric_data``, ``epoch_data``, ``status_update``, ``command_record`` or ``error``."""
    message: bytes
    """Serialised."""


@dataclass(frozen=True)
class EventsPage:
    """Some of what happened in a session, all of one kind, the oldest first."""

    messages: Sequence[bytes]
    """Serialised."""
    next: int = 0
    """Where the next page goes on; 0: there is none."""


@dataclass(frozen=True)
class StoredSession:
    """One session, read back."""

    record: SessionRecord
    epochs: Sequence[EpochData] = ()
    commands: Sequence[CommandRecord] = ()
    """In the order they were first put."""
    errors: Sequence[ErrorResponse] = ()
    """The newest, oldest first."""
    picture: BatchData | None = None
    """The newest key frame."""
    position: int = 0
    """Of the newest thing that was kept."""
    events: Sequence[StoredEvent] = ()
    """What viewers may resume through: everything after ``floor``, ascending."""
    floor: int = 0


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


class StoreWriteError(TrainmonError):
    """Something could not be kept; nothing of it was. The disk's fault, mostly.

    Args:
        reason: What the system said, and what to do.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class StoreReadError(TrainmonError):
    """Something cannot be read back, though it may be there. The disk's fault, mostly.

    Args:
        reason: What the system said, and what to do.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Store(ABC):
    """Keeps the history of every session.

    Whatever reads may raise :class:`StoreReadError`.

    What a store that outlives its monitor adds to the abstract methods has defaults here: a store
    without them serves, and its sessions end with the monitor.
    """

    durable: bool = False
    """Whether a monitor that starts again finds what an earlier one kept."""
    generation: int = 0
    """How often a durable store was opened: so no two monitors give out the same cursor."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Names what is stored here, letters and digits: another store has another."""

    @abstractmethod
    async def append(self, session_id: str, record: Record) -> Sequence[str]:
        """Keep a record; when this returns it is committed.

        A record whose (session, producer, sequence) is kept already is dropped. So is one that
        holds several, of which some are kept: they cannot be told apart.

        Returns:
            What of it was refused and which limit, for people; empty where nothing was. As an
            :class:`Appended` it also tells the record's position, and whether it overlaps.

        Raises:
            StoreWriteError: It could not be kept. It may be given again.
        """

    @abstractmethod
    async def stored_sequence(self, session_id: str, producer_id: str) -> int | None:
        """Return a producer's highest committed number; None where there is none.

        What was given before is committed first, if that can be done.
        """

    @abstractmethod
    async def metrics(self, session_id: str, query: MetricsQuery) -> list[MetricSeries]:
        """Return scalars, thinned to buckets with exact extremes; by name, then attempt.

        Raises:
            AnswerTooLargeError: They exceed the query's ``max_bytes``.
        """

    @abstractmethod
    async def key_frame(self, session_id: str, step: int) -> BatchData | None:
        """Return the picture kept nearest a step; None where there is none.

        Of two equally near ones that of the later attempt counts, then that of the earlier step.
        """

    @abstractmethod
    async def put_command(self, record: CommandRecord) -> None:
        """Keep the present state of a command; when this returns it is committed.

        Raises:
            StoreWriteError: It could not be kept.
        """

    @abstractmethod
    async def forget(self, session_id: str) -> None:
        """Drop everything of a session."""

    async def put_session(self, record: SessionRecord) -> None:  # noqa: B027 - see the class
        """Keep what is known of a session; when this returns it is committed.

        Raises:
            StoreWriteError: It could not be kept.
        """

    async def put_error(  # noqa: B027 - see the class
        self, session_id: str, error: ErrorResponse
    ) -> None:
        """Keep an error that the training or the viewers were told of.

        Raises:
            StoreWriteError: It could not be kept.
        """

    async def sessions(self) -> Sequence[ListedSession]:
        """Return every session that is kept, the oldest first."""
        return ()

    async def load(
        self,
        session_id: str,  # noqa: ARG002 - for those that keep sessions
    ) -> StoredSession | None:
        """Return a session with all that was put before this was called; None: there is none."""
        return None

    async def events(
        self,
        session_id: str,  # noqa: ARG002 - for those that keep events
        kind: str,  # noqa: ARG002
        after: int,  # noqa: ARG002
    ) -> EventsPage | None:
        """Return a page of all that was kept of a kind.

        Args:
            session_id: Whose.
            kind: As of a :class:`StoredEvent`, but for ``metric_data``.
            after: ``next`` of the page before; 0: from the first.

        Returns:
            None where the store keeps none: what the session holds in memory is all there is.
        """
        return None

    async def try_write(self) -> bool:
        """Return whether writing works again, after a :class:`StoreWriteError`."""
        return True

    @abstractmethod
    async def close(self) -> None:
        """Release what the store holds."""
