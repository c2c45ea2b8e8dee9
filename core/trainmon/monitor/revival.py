"""A session as the store keeps it, and a session made of that again."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from trainmon.monitor.liveness import Liveness
from trainmon.monitor.producer import Producer
from trainmon.monitor.store.base import ProducerRecord, SessionRecord, StoredSession
from trainmon.monitor.summaries import summarise
from trainmon.monitor.wire_events import EventField
from trainmon.v1.dashboard_pb2 import SessionSnapshot
from trainmon.v1.telemetry_pb2 import (
    MetricData,
    RegisterTrainingSessionRequest,
    TrainerLiveness,
    TrainingStatus,
)

if TYPE_CHECKING:
    from trainmon.config import Settings
    from trainmon.monitor.clock import Clock
    from trainmon.monitor.session import Session

__all__ = ["record_of", "revive"]

_FIELDS = {
    "command_record": EventField.COMMAND_RECORD,
    "epoch_data": EventField.EPOCH_DATA,
    "error": EventField.ERROR,
    "metric_data": EventField.METRIC_DATA,
    "status_update": EventField.STATUS_UPDATE,
}


def record_of(session: Session, now_ms: int, *, registration: bool) -> SessionRecord:
    """Return what the store is to know of a session now.

    Args:
        session: Which.
        now_ms: The monitor's wall clock.
        registration: Whether that may have changed since it was last put.
    """
    known = None
    if registration:
        known = RegisterTrainingSessionRequest()
        known.CopyFrom(session.registration)
    return SessionRecord(
        session_id=session.id,
        run_key=session.registration.run_key,
        incarnation=session.incarnation,
        started_ms=session.started_ms,
        ended_ms=session.ended_ms,
        snapshot=SessionSnapshot(
            summary=summarise(session, now_ms),
            performance_data=session.performance,
            notes=session.notes,
            timestamp_ms=now_ms,
        ),
        registration=known,
        producers=[_producer_record(each) for each in session.producers.values()],
    )


def _producer_record(producer: Producer) -> ProducerRecord:
    return ProducerRecord(
        producer_id=producer.id,
        rank=producer.rank,
        hostname=producer.hostname,
        pid=producer.pid,
        sends_metric_data=producer.sends_metric_data,
        last_seen_ms=producer.last_seen_ms,
        status=producer.life.status,
        trainer=producer.life.trainer,
    )


def revive(session: Session, stored: StoredSession, settings: Settings, clock: Clock) -> None:
    """Make a new session what the stored one was.

    Its streams ended with the monitor that kept it: what had not said goodbye has lost its link.
    """
    record, summary = stored.record, stored.record.snapshot.summary
    if record.registration is not None:
        session.registration.CopyFrom(record.registration)
    session.is_on_record = True
    session.started_ms = record.started_ms
    session.last_seen_ms = summary.last_seen_ms
    session.status_message = summary.status_message
    session.notes = dict.fromkeys(record.snapshot.notes)
    if record.snapshot.HasField("performance_data"):
        session.performance = record.snapshot.performance_data
    for each in record.producers:
        session.producers[each.producer_id] = _producer(each, settings, clock)
    _restore_history(session, stored)
    session.restored(record.ended_ms)
    # Last: what becomes of commands now is told to viewers and the store.
    session.commands.restore(stored.commands)
    if session.ended:
        session.commands.session_ended(sent_too=True)


def _restore_history(session: Session, stored: StoredSession) -> None:
    session.progress.restore(stored.record.snapshot.summary)
    for epoch in stored.epochs:
        session.epochs.add(epoch)
        session.progress.epoch_ended(epoch, session.registration.batches_per_epoch)
    session.errors.extend(stored.errors)
    session.newest_batch = stored.picture
    for event in stored.events:  # the summary may be some seconds older than the newest rows
        if event.kind == "metric_data":
            session.progress.metrics(MetricData.FromString(event.message))
    events = [
        (event.position, _FIELDS[event.kind], event.message)
        for event in stored.events
        if event.kind in _FIELDS
    ]
    session.hub.restore(stored.position, stored.floor, events)


def _producer(record: ProducerRecord, settings: Settings, clock: Clock) -> Producer:
    request = RegisterTrainingSessionRequest(
        producer_id=record.producer_id,
        rank=record.rank,
        hostname=record.hostname,
        pid=record.pid,
        sends_metric_data=record.sends_metric_data,
    )
    silent_s = max(0, clock.wall_ms() - record.last_seen_ms) / 1000
    life = Liveness.restored(
        settings.heartbeat_timeout_ms / 1000,
        clock.monotonic() - silent_s,
        cast("TrainingStatus", record.status),
        cast("TrainerLiveness", record.trainer),
    )
    producer = Producer(request, life)
    producer.sequences.stored, producer.sequences.missing = record.stored, record.missing
    producer.last_seen_ms = record.last_seen_ms
    return producer
