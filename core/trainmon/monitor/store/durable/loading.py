"""Reads sessions back, as a monitor that starts again needs them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from sqlalchemy import Connection, Table, select

from trainmon.monitor.store.base import (
    EventsPage,
    ListedSession,
    ProducerRecord,
    SessionRecord,
    StoredEvent,
    StoredSession,
)
from trainmon.monitor.store.durable import schema
from trainmon.monitor.store.durable.damage import Damage
from trainmon.monitor.store.durable.viewing import PictureReader
from trainmon.v1.control_pb2 import CommandRecord
from trainmon.v1.dashboard_pb2 import SessionSnapshot, SessionSummary
from trainmon.v1.telemetry_pb2 import (
    EpochData,
    ErrorResponse,
    MetricData,
    RegisterTrainingSessionRequest,
    StatusUpdate,
)

__all__ = [
    "COMMAND",
    "EPOCH",
    "ERROR",
    "METRICS",
    "STATUS",
    "list_sessions",
    "load_session",
    "read_events",
]

#: Kinds of what is kept, as viewers are told of it.
COMMAND, EPOCH, ERROR, METRICS = "command_record", "epoch_data", "error", "metric_data"
STATUS = "status_update"
#: What viewers may resume through is read up to this size, in bytes.
_EVENT_BYTES = 1 << 20
_NEWEST_ERRORS = 20
#: Commands that have ended are read back up to this number; all are kept.
_NEWEST_COMMANDS = 1000
#: A page of events has at most so many, and ends with the one that brings it to this size.
_PAGE_EVENTS, _PAGE_BYTES = 2000, 1 << 20
_MESSAGES: dict[str, type[Message]] = {
    COMMAND: CommandRecord,
    EPOCH: EpochData,
    ERROR: ErrorResponse,
    METRICS: MetricData,
    STATUS: StatusUpdate,
}
_Kind = TypeVar("_Kind", bound=Message)


def list_sessions(connection: Connection, damage: Damage) -> list[ListedSession]:
    """Return every session, the oldest first; of one that cannot be read what stands beside it."""
    table = schema.sessions
    found = connection.execute(
        select(*_SUMMARY, table.c.snapshot, table.c.run_key)
        .where(~table.c.forgotten, table.c.snapshot.is_not(None))
        .order_by(table.c.started_ms, table.c.pk)
    )
    return [ListedSession(_snapshot(row, damage).summary, row.run_key) for row in found]


_SUMMARY = (schema.sessions.c.session_id, schema.sessions.c.started_ms, schema.sessions.c.ended_ms)


def _snapshot(row: Any, damage: Damage) -> SessionSnapshot:
    known = _decoded(SessionSnapshot, row.snapshot, f"session {row.session_id!r}", damage)
    if known is not None:
        return known
    summary = SessionSummary(
        session_id=row.session_id, started_ms=row.started_ms, ended_ms=row.ended_ms
    )
    return SessionSnapshot(summary=summary)


def _decoded(kind: type[_Kind], message: bytes, what: str, damage: Damage) -> _Kind | None:
    """Return a message; None where it cannot be read."""
    try:
        return kind.FromString(message)
    except (DecodeError, TypeError, ValueError) as error:
        damage.row(what, error)
        return None


def load_session(
    connection: Connection, session_id: str, pictures: PictureReader, damage: Damage
) -> StoredSession | None:
    """Return one session, as far as it can be read; None where there is none."""
    table = schema.sessions
    row = connection.execute(select(table).where(table.c.session_id == session_id)).first()
    if row is None or row.snapshot is None:
        return None
    facts = _Facts(connection, row.pk, damage)
    events, floor = _events(connection, row.pk, row.floor)
    return StoredSession(
        record=_record(connection, row, damage),
        epochs=facts.newest(EpochData, EPOCH, None),
        commands=facts.newest(CommandRecord, COMMAND, _NEWEST_COMMANDS),
        errors=facts.newest(ErrorResponse, ERROR, _NEWEST_ERRORS),
        picture=pictures.newest(connection, row.pk),
        position=row.position,
        events=_readable(events, row.pk, damage),
        floor=floor,
    )


def _record(connection: Connection, row: Any, damage: Damage) -> SessionRecord:
    registration = _decoded(
        RegisterTrainingSessionRequest,
        row.registration or b"",
        f"the registration of session {row.session_id!r}",
        damage,
    )
    if registration is None:
        known = {"session_id": row.session_id, "run_key": row.run_key}
        registration = RegisterTrainingSessionRequest(**known)
    return SessionRecord(
        session_id=row.session_id,
        run_key=row.run_key,
        incarnation=row.incarnation,
        started_ms=row.started_ms,
        ended_ms=row.ended_ms,
        snapshot=_snapshot(row, damage),
        registration=registration,
        producers=_producers(connection, row.pk),
    )


def _producers(connection: Connection, session: int) -> list[ProducerRecord]:
    table = schema.producers
    found = connection.execute(
        select(table).where(table.c.session == session).order_by(table.c.place)
    )
    return [
        ProducerRecord(
            producer_id=row.producer_id,
            rank=row.rank,
            hostname=row.hostname,
            pid=row.pid,
            sends_metric_data=row.sends_metric_data,
            last_seen_ms=row.last_seen_ms,
            status=row.status,
            trainer=row.trainer,
            stored=None if row.stored is None else int(row.stored),
            missing=int(row.missing),
        )
        for row in found
    ]


class _Facts:
    """Reads the facts of one session."""

    def __init__(self, connection: Connection, session: int, damage: Damage) -> None:
        self._connection = connection
        self._session = session
        self._damage = damage

    def newest(self, message: type[_Kind], kind: str, limit: int | None) -> list[_Kind]:
        """Return those of a kind, the oldest first."""
        table = schema.facts
        chosen = select(table.c.position, table.c.message).where(
            table.c.session == self._session, table.c.kind == kind
        )
        found = self._connection.execute(chosen.order_by(table.c.born.desc()).limit(limit)).all()
        told = (
            _decoded(message, row.message, _named(kind, row.position, self._session), self._damage)
            for row in reversed(found)
        )
        return [each for each in told if each is not None]


def read_events(
    connection: Connection, session: int, kind: str, after: int, damage: Damage
) -> EventsPage:
    """Return a page of the facts of a kind, in the order they were first put.

    Args:
        connection: In a transaction.
        session: The key of the session.
        kind: Which.
        after: Where the page before ended; 0: from the first.
        damage: Hears of what cannot be read.
    """
    table = schema.facts
    chosen = (table.c.session == session) & (table.c.kind == kind) & (table.c.born > after)
    found = connection.execute(
        select(table.c.born, table.c.position, table.c.message)
        .where(chosen)
        .order_by(table.c.born)
        .limit(_PAGE_EVENTS)
    ).all()
    messages: list[bytes] = []
    left, last = _PAGE_BYTES, after
    for row in found:
        last = row.born
        if _decoded(_MESSAGES[kind], row.message, _named(kind, row.position, session), damage):
            messages.append(row.message)
        left -= len(row.message)
        if left < 0:
            break
    done = not found or (last == found[-1].born and len(found) < _PAGE_EVENTS)
    return EventsPage(messages, 0 if done else last)


def _named(kind: str, position: int, session: int) -> str:
    return f"{'record' if kind == METRICS else kind} {position} of session row {session}"


def _readable(events: Iterable[StoredEvent], session: int, damage: Damage) -> list[StoredEvent]:
    """Return the events that viewers can read."""
    return [
        event
        for event in events
        if _decoded(
            _MESSAGES[event.kind],
            event.message,
            _named(event.kind, event.position, session),
            damage,
        )
        is not None
    ]


def _events(connection: Connection, session: int, floor: int) -> tuple[list[StoredEvent], int]:
    """Return what was told last, and the position after which that is everything."""
    found = _newest(connection, schema.tail, session, floor) + _newest(
        connection, schema.facts, session, floor
    )
    found.sort(key=lambda event: event.position, reverse=True)
    kept: list[StoredEvent] = []
    left = _EVENT_BYTES
    for event in found:
        left -= len(event.message)
        if left < 0:
            return kept[::-1], event.position
        kept.append(event)
    return kept[::-1], floor


def _newest(connection: Connection, table: Table, session: int, floor: int) -> list[StoredEvent]:
    statement = (
        select(table)
        .where(table.c.session == session, table.c.position > floor)
        .order_by(table.c.position.desc())
    )
    events: list[StoredEvent] = []
    size = 0
    with connection.execute(statement.execution_options(yield_per=100)) as rows:
        for row in rows:
            events.append(StoredEvent(row.position, getattr(row, "kind", METRICS), row.message))
            size += len(row.message)
            if size > _EVENT_BYTES:
                break
    return events
