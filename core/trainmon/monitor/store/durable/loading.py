"""Reads sessions back, as a monitor that starts again needs them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, select

from trainmon.monitor.store.base import (
    ListedSession,
    ProducerRecord,
    SessionRecord,
    StoredEvent,
    StoredSession,
)
from trainmon.monitor.store.durable import schema
from trainmon.monitor.store.durable.viewing import PictureReader
from trainmon.v1.control_pb2 import CommandRecord
from trainmon.v1.dashboard_pb2 import SessionSnapshot
from trainmon.v1.telemetry_pb2 import EpochData, ErrorResponse, RegisterTrainingSessionRequest

__all__ = ["COMMAND", "EPOCH", "ERROR", "METRICS", "STATUS", "list_sessions", "load_session"]

#: Kinds of what is kept, as viewers are told of it.
COMMAND, EPOCH, ERROR, METRICS = "command_record", "epoch_data", "error", "metric_data"
STATUS = "status_update"
#: What viewers may resume through is read up to this size, in bytes.
_EVENT_BYTES = 1 << 20
_NEWEST_ERRORS = 20
#: Commands that have ended are read back up to this number; all are kept.
_NEWEST_COMMANDS = 1000


def list_sessions(connection: Connection) -> list[ListedSession]:
    """Return every session, the oldest first."""
    table = schema.sessions
    found = connection.execute(
        select(table.c.snapshot, table.c.run_key)
        .where(~table.c.forgotten, table.c.snapshot.is_not(None))
        .order_by(table.c.started_ms, table.c.pk)
    )
    return [
        ListedSession(SessionSnapshot.FromString(row.snapshot).summary, row.run_key)
        for row in found
    ]


def load_session(
    connection: Connection, session_id: str, pictures: PictureReader
) -> StoredSession | None:
    """Return one session; None where there is none."""
    table = schema.sessions
    row = connection.execute(select(table).where(table.c.session_id == session_id)).first()
    if row is None or row.snapshot is None:
        return None
    commands = _facts(connection, row.pk, COMMAND, _NEWEST_COMMANDS)
    errors = _facts(connection, row.pk, ERROR, _NEWEST_ERRORS)
    events, floor = _events(connection, row.pk, row.floor)
    return StoredSession(
        record=_record(connection, row),
        epochs=[EpochData.FromString(each) for each in _facts(connection, row.pk, EPOCH, None)],
        commands=[CommandRecord.FromString(each) for each in commands],
        errors=[ErrorResponse.FromString(each) for each in errors],
        picture=pictures.newest(connection, row.pk),
        position=row.position,
        events=events,
        floor=floor,
    )


def _record(connection: Connection, row: Any) -> SessionRecord:
    return SessionRecord(
        session_id=row.session_id,
        run_key=row.run_key,
        incarnation=row.incarnation,
        started_ms=row.started_ms,
        ended_ms=row.ended_ms,
        snapshot=SessionSnapshot.FromString(row.snapshot),
        registration=RegisterTrainingSessionRequest.FromString(row.registration or b""),
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


def _facts(connection: Connection, session: int, kind: str, newest: int | None) -> list[bytes]:
    table = schema.facts
    chosen = select(table.c.message).where(table.c.session == session, table.c.kind == kind)
    found = connection.scalars(chosen.order_by(table.c.born.desc()).limit(newest))
    return list(found)[::-1]


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
