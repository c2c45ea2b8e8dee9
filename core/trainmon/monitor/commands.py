"""The commands of one session: on record before they are sent, and what became of each.

Pure: sending is a callback, time is given. States go RECORDED, SENT, ACCEPTED and end as APPLIED,
REJECTED or EXPIRED; SENT and ACCEPTED become UNCONFIRMED when the link drops, SENT also when the
answer is overdue. What may have reached the training is expired by the training alone, or when
the session ends.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator

from grpclib.const import Status

from trainmon.monitor.clock import Clock
from trainmon.monitor.refusal import RefusedError
from trainmon.monitor.wire_events import MAX_UINT64
from trainmon.v1.control_pb2 import (
    CommandRecord,
    CommandResult,
    CommandState,
    ControlCommand,
)
from trainmon.v1.telemetry_pb2 import TrainingStatus

__all__ = ["FINAL_STATES", "MAX_COMMANDS", "OVERDUE_S", "CommandBook", "is_final"]

#: Commands kept of one session; beyond it the oldest that has ended is forgotten.
MAX_COMMANDS = 1000
#: How long a command that was sent may stay without any answer, in seconds.
OVERDUE_S = 5.0
_MAX_TRANSITIONS = 64
_MAX_ID = 128
#: Characters of what a training says of a command, and bytes of its answer, that are kept.
_MAX_MESSAGE, _MAX_RESULT_BYTES = 2000, 16 << 10

RECORDED = CommandState.COMMAND_STATE_RECORDED
SENT = CommandState.COMMAND_STATE_SENT
UNCONFIRMED = CommandState.COMMAND_STATE_UNCONFIRMED
ACCEPTED = CommandState.COMMAND_STATE_ACCEPTED
APPLIED = CommandState.COMMAND_STATE_APPLIED
REJECTED = CommandState.COMMAND_STATE_REJECTED
EXPIRED = CommandState.COMMAND_STATE_EXPIRED

FINAL_STATES = frozenset({APPLIED, REJECTED, EXPIRED})
#: What was asked of a training that enters a state.
_SHOWN_BY = {
    TrainingStatus.TRAINING_STATUS_PAUSED: "pause",
    TrainingStatus.TRAINING_STATUS_RUNNING: "resume",
    TrainingStatus.TRAINING_STATUS_STOPPING: "stop",
    TrainingStatus.TRAINING_STATUS_STOPPED: "stop",
}
_ANSWERS = FINAL_STATES | {ACCEPTED}


def is_final(record: CommandRecord) -> bool:
    """Return whether a command has ended."""
    return record.state in FINAL_STATES


class _Entry:
    """A record with the times that only the monitor knows, in seconds of its monotonic clock."""

    __slots__ = ("expires_at", "record", "sent_at")

    def __init__(self, record: CommandRecord, expires_at: float | None) -> None:
        self.record = record
        self.expires_at = expires_at
        self.sent_at: float | None = None


class CommandBook:
    """Every command of one session, oldest first.

    Args:
        session_id: Whose.
        clock: The clocks.
        on_change: Called with a record that was made or has changed.
    """

    def __init__(
        self, session_id: str, clock: Clock, on_change: Callable[[CommandRecord], None]
    ) -> None:
        self._session_id = session_id
        self._clock = clock
        self._on_change = on_change
        self._entries: dict[str, _Entry] = {}
        self._open: dict[str, _Entry] = {}

    def __iter__(self) -> Iterator[CommandRecord]:
        return (entry.record for entry in self._entries.values())

    def get(self, command_id: str) -> CommandRecord | None:
        """Return the record of a command."""
        entry = self._entries.get(command_id)
        return entry.record if entry is not None else None

    def record(self, command: ControlCommand) -> CommandRecord:
        """Put a command that was checked on record; it is not announced yet.

        Raises:
            RefusedError: RESOURCE_EXHAUSTED where too many have not ended.
        """
        self._make_room()
        record = CommandRecord(session_id=self._session_id)
        record.command.CopyFrom(command)
        if not record.command.command_id:
            record.command.command_id = uuid.uuid4().hex
        expires_at = None
        if command.HasField("time_to_live_ms"):
            expires_at = self._clock.monotonic() + command.time_to_live_ms / 1000
        entry = _Entry(record, expires_at)
        self._entries[record.command.command_id] = entry
        self._open[record.command.command_id] = entry
        self._write(record, RECORDED)
        return record

    def restore(self, records: Iterable[CommandRecord]) -> None:
        """Take over what an earlier monitor had on record; call it before anything else.

        What was on its way may or may not have arrived. A time to live goes on from when the
        command was recorded, by the wall clock, the only one that outlives a monitor: set back, it
        cannot make one last longer than it was to.
        """
        now, now_ms = self._clock.monotonic(), self._clock.wall_ms()
        for record in records:
            command = record.command
            expires_at = None
            if command.HasField("time_to_live_ms"):
                age_ms = max(0, now_ms - record.transitions[0].timestamp_ms)
                expires_at = now + (command.time_to_live_ms - age_ms) / 1000
            entry = _Entry(record, expires_at)
            self._entries[command.command_id] = entry
            if not is_final(record):
                self._open[command.command_id] = entry
        for entry in tuple(self._open.values()):
            if entry.record.state in {SENT, ACCEPTED}:
                self._enter(entry, UNCONFIRMED, "the monitor was restarted")

    def withdraw(self, record: CommandRecord) -> None:
        """Forget a record that was just made, and could not be kept."""
        self._entries.pop(record.command.command_id, None)
        self._open.pop(record.command.command_id, None)

    def announce(self, record: CommandRecord) -> None:
        """Tell of a record that has just been made."""
        self._on_change(record)

    def unsent(self) -> list[str]:
        """Return the ids of what must be sent, or sent again, on a new link; oldest first."""
        return list(self._open)

    def is_open(self, command_id: str) -> bool:
        """Return whether a command has not ended."""
        return command_id in self._open

    def to_send(self, command_id: str) -> ControlCommand | None:
        """Return what to write to the stream, with the time to live that is left; None if ended."""
        entry = self._open.get(command_id)
        if entry is None or entry.record.command.WhichOneof("action") is None:
            return None  # what an earlier monitor sent: only its answer is known here
        command = ControlCommand()
        command.CopyFrom(entry.record.command)
        if entry.expires_at is not None:
            left = entry.expires_at - self._clock.monotonic()
            if left <= 0 and entry.record.state == RECORDED:
                self._expire(entry, "its time to live passed before it could be sent")
                return None
            # Not more than was asked: a double rounds the greatest time to live up, out of range.
            asked_ms = entry.record.command.time_to_live_ms
            command.time_to_live_ms = min(max(0, round(left * 1000)), asked_ms)
        return command

    def was_sent(self, command_id: str) -> None:
        """Take note that a command was written to the training's stream."""
        entry = self._open.get(command_id)
        if entry is not None and entry.record.state != ACCEPTED:
            entry.sent_at = self._clock.monotonic()
            self._enter(entry, SENT)

    def answered(self, result: CommandResult) -> str:
        """Take note of what the training says of a command.

        Returns:
            What is wrong with the answer; empty where nothing is.
        """
        if not result.command_id or len(result.command_id) > _MAX_ID:
            return "command_result.command_id should have 1 to 128 characters"
        if result.state not in _ANSWERS:
            return "command_result.state should be ACCEPTED, APPLIED, REJECTED or EXPIRED"
        result.message = result.message[:_MAX_MESSAGE]
        if result.ByteSize() > _MAX_RESULT_BYTES:
            return f"command_result has {result.ByteSize()} bytes, the limit is {_MAX_RESULT_BYTES}"
        entry = self._entries.get(result.command_id)
        try:
            self._take(entry or self._unknown(result.command_id), result)
        except RefusedError as error:
            return error.reason
        return ""

    def shown_by(self, status: TrainingStatus, step: int | None) -> None:
        """Take a state for the answer of a training that knows no other way to give one.

        The original protocol has commands and states, but no results.

        Args:
            status: The state it entered.
            step: The global step from which it holds; None: unknown.
        """
        for entry in tuple(self._open.values()):
            record = entry.record
            asked = record.command.WhichOneof("action")
            if record.state != RECORDED and asked == _SHOWN_BY.get(status):
                result = CommandResult(command_id=record.command.command_id, state=APPLIED)
                result.message = "as the training's state says"
                if step is not None:
                    result.applied_at_step = min(step, MAX_UINT64)
                self._take(entry, result)

    def link_lost(self) -> None:
        """The link dropped: what was sent may or may not have arrived."""
        for entry in tuple(self._open.values()):
            if entry.record.state in {SENT, ACCEPTED}:
                self._enter(entry, UNCONFIRMED, "the link to the training was lost")

    def check(self) -> None:
        """Expire what was never sent in time, and mark answers that are overdue."""
        now = self._clock.monotonic()
        for entry in tuple(self._open.values()):
            state = entry.record.state
            if state == RECORDED and entry.expires_at is not None and now >= entry.expires_at:
                self._expire(entry, "its time to live passed before it could be sent")
            elif state == SENT and entry.sent_at is not None and now - entry.sent_at > OVERDUE_S:
                self._enter(entry, UNCONFIRMED, f"no answer for {OVERDUE_S:g} s")

    def session_ended(self, *, sent_too: bool) -> None:
        """Expire what can no longer be carried out.

        Args:
            sent_too: Also what was sent: the training will answer nothing any more.
        """
        for entry in tuple(self._open.values()):
            if sent_too or entry.record.state == RECORDED:
                self._expire(entry, "the session ended first")

    def _take(self, entry: _Entry, result: CommandResult) -> None:
        record = entry.record
        if is_final(record):
            # The effective value is read back a step after the command was applied.
            if record.state == APPLIED and result.state == APPLIED:
                record.result.MergeFrom(result)
                record.timestamp_ms = self._clock.wall_ms()
                self._on_change(record)
            return
        record.result.CopyFrom(result)
        if record.state == result.state:
            record.timestamp_ms = self._clock.wall_ms()
            self._on_change(record)
        else:
            self._enter(entry, result.state, result.message, result.timestamp_ms)

    def _expire(self, entry: _Entry, reason: str) -> None:
        self._enter(entry, EXPIRED, reason)

    def _enter(
        self, entry: _Entry, state: CommandState, message: str = "", answered_ms: int = 0
    ) -> None:
        self._write(entry.record, state, message, answered_ms)
        if state in FINAL_STATES:
            self._open.pop(entry.record.command.command_id, None)
        self._on_change(entry.record)

    def _write(
        self, record: CommandRecord, state: CommandState, message: str = "", answered_ms: int = 0
    ) -> None:
        now = self._clock.wall_ms()
        record.state = state
        record.timestamp_ms = now
        record.transitions.add(state=state, timestamp_ms=now, message=message)
        if len(record.transitions) > _MAX_TRANSITIONS:  # a link that comes and goes adds two a time
            del record.transitions[1:3]
        record.result.command_id = record.command.command_id
        record.result.state = state
        record.result.message = message
        record.result.timestamp_ms = answered_ms or now

    def _unknown(self, command_id: str) -> _Entry:
        """Make a record for a command given before this monitor started: the answer is true."""
        self._make_room()
        record = CommandRecord(session_id=self._session_id)
        record.command.command_id = command_id
        entry = _Entry(record, None)
        self._entries[command_id] = self._open[command_id] = entry
        return entry

    def _make_room(self) -> None:
        if len(self._entries) < MAX_COMMANDS:
            return
        oldest = next((name for name in self._entries if name not in self._open), None)
        if oldest is None:
            raise RefusedError(
                Status.RESOURCE_EXHAUSTED,
                f"{MAX_COMMANDS} commands of this session wait for the training, which is the "
                "limit: wait until it answers",
            )
        del self._entries[oldest]
