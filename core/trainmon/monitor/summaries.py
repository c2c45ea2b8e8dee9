"""What is told of a session at one moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from google.protobuf.message import Message

from trainmon.monitor.session import Session
from trainmon.monitor.wire_events import MAX_UINT64
from trainmon.v1.dashboard_pb2 import KeepAlive, RankSummary, SessionSnapshot, SessionSummary
from trainmon.v1.telemetry_pb2 import SessionConfig

__all__ = ["keep_alive", "snapshot", "summarise"]

#: Greatest size of a snapshot, in bytes: the smallest limit in the way is 4 MiB. The registration
#: may take 1 MiB of it.
_SNAPSHOT_BYTES = 4_000_000
#: Greatest size of the epochs and of the commands in it, the newest of each, in bytes.
_PART_BYTES = 512 << 10
_Message = TypeVar("_Message", bound=Message)


def summarise(session: Session, now_ms: int) -> SessionSummary:
    """Return state, progress and rates of a session.

    Args:
        session: Which.
        now_ms: The monitor's wall clock.
    """
    registration, progress = session.registration, session.progress
    summary = SessionSummary(
        session_id=session.id,
        session_name=registration.session_name,
        framework=registration.framework,
        state=session.state,
        timestamp_ms=now_ms,
        epoch=progress.epoch,
        batch_index=progress.batch_index,
        global_step=progress.global_step,
        loss=progress.loss,
        world_size=max(registration.world_size, 1),
        started_ms=session.started_ms,
        ended_ms=session.ended_ms,
        last_seen_ms=session.last_seen_ms,
        status_message=session.status_message,
        viewers=session.hub.viewers,
        ranks=_ranks(session),
    )
    if registration.HasField("total_epochs"):
        summary.total_epochs = registration.total_epochs
    if registration.HasField("batches_per_epoch"):
        summary.batches_per_epoch = registration.batches_per_epoch
    if session.performance is not None:
        summary.average_fps = session.performance.average_fps
        if not session.ended:
            summary.current_fps = session.performance.current_fps
            summary.pictures_per_second = session.performance.pictures_per_second
    return summary


def _ranks(session: Session) -> list[RankSummary]:
    return [
        RankSummary(
            rank=producer.rank,
            producer_id=producer.id,
            hostname=producer.hostname,
            pid=producer.pid,
            state=producer.life.state,
            last_seen_ms=producer.last_seen_ms,
        )
        for producer in sorted(session.producers.values(), key=lambda each: each.rank)
    ]


def keep_alive(session: Session, now_ms: int) -> KeepAlive:
    """Return what viewers get every second."""
    return KeepAlive(timestamp_ms=now_ms, summary=summarise(session, now_ms))


def snapshot(session: Session, now_ms: int, *, reset: bool, picture: bool) -> SessionSnapshot:
    """Return what there is to know of a session.

    Args:
        session: Which.
        now_ms: The monitor's wall clock.
        reset: Whether the receiver must forget what it had.
        picture: Whether the newest picture is wanted.
    """
    missing = sum(each.sequences.missing for each in session.producers.values())
    shot = SessionSnapshot(
        summary=summarise(session, now_ms),
        registration=session.registration,
        config=_config(session),
        epochs=_newest(session.epochs),
        commands=_newest(session.commands),
        performance_data=session.performance,
        reset=reset,
        timestamp_ms=now_ms,
        notes=session.notes,
        missing_records=min(missing, MAX_UINT64),
        errors=session.errors,
    )
    batch = session.newest_batch
    if picture and batch is not None and shot.ByteSize() + batch.ByteSize() <= _SNAPSHOT_BYTES:
        shot.batch_data.CopyFrom(batch)
    return shot


def _config(session: Session) -> SessionConfig | None:
    first = min(session.producers.values(), key=lambda each: each.rank, default=None)
    return session.config_for(first) if first is not None else None


def _newest(messages: Iterable[_Message]) -> list[_Message]:
    left = _PART_BYTES
    newest: list[_Message] = []
    for message in reversed(list(messages)):
        left -= message.ByteSize()
        if left < 0:
            break
        newest.append(message)
    return newest[::-1]
