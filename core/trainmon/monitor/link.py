"""One telemetry stream: what is said to a training, and whether it is still there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from grpclib.const import Status

from trainmon.errors import STREAM_ENDING_STATUS
from trainmon.monitor.clock import Clock
from trainmon.monitor.commands import MAX_COMMANDS
from trainmon.monitor.outlet import Outlet
from trainmon.sealing import seal
from trainmon.v1.telemetry_pb2 import (
    Acknowledgment,
    ErrorCode,
    ErrorResponse,
    Heartbeat,
    HeartbeatReply,
    SessionConfig,
    TelemetryResponse,
)

if TYPE_CHECKING:
    from trainmon.monitor.producer import Producer
    from trainmon.monitor.session import Session

__all__ = ["TrainerLink"]

#: Answers that may wait for a training that does not read; the oldest go.
_MAX_REPLIES = 256


class TrainerLink(Outlet):
    """One StreamTelemetry stream.

    Args:
        clock: The clocks.
        received: Returns how many bytes of the stream have arrived.
        timeout_s: Silence after which the link counts as lost.
        peer: The other end's address, for messages.
    """

    def __init__(
        self, clock: Clock, received: Callable[[], int], timeout_s: float, peer: str = ""
    ) -> None:
        super().__init__()
        self.session: Session | None = None
        self.producer: Producer | None = None
        self.cannot_keep = False
        """Whether it was told that the history cannot be written."""
        self.held_back = False
        """Whether its numbered records cannot be kept: none is, until it is opened anew."""
        self.is_taking = False
        """Whether a message of it is being taken in."""
        self._clock = clock
        self._received = received
        self._timeout_s = timeout_s
        self._peer = peer
        self._replies: deque[bytes] = deque(maxlen=_MAX_REPLIES)
        self._commands: deque[str] = deque()
        self._written: str | None = None
        self._config: SessionConfig | None = None
        self._acknowledged: int | None = None
        self._receipts = 0
        self._farewell: bytes | None = None
        self._bytes_seen = 0
        self._heard_at = self._heartbeat_at = clock.monotonic()
        self._warned = False

    # What is said to the training.

    def acknowledge(self, sequence: int | None) -> None:
        """Say that everything up to a number is committed, or (None) that something arrived."""
        if sequence is None:
            self._receipts += 1
        else:
            self._acknowledged = sequence
        self.wake()

    def answer_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Answer a heartbeat."""
        self._heartbeat_at, self._warned = self._clock.monotonic(), False
        now = self._clock.wall_ms()
        reply = HeartbeatReply(
            sequence_number=heartbeat.sequence_number,
            client_timestamp_ms=heartbeat.timestamp_ms,
            received_ms=now,
            sent_ms=now,
            timestamp_ms=now,
        )
        self._reply(TelemetryResponse(timestamp_ms=now, heartbeat=reply))

    def command(self, command_id: str) -> None:
        """Send a command of the session's book."""
        if len(self._commands) >= MAX_COMMANDS and self.session is not None:
            # A training that does not read: what has expired meanwhile waits for nothing.
            book = self.session.commands
            self._commands = deque(filter(book.is_open, self._commands))
        self._commands.append(command_id)
        self.wake()

    def configure(self, config: SessionConfig) -> None:
        """Tell what the monitor wants now."""
        self._config = config
        self.wake()

    def error(self, code: ErrorCode, message: str) -> ErrorResponse:
        """Tell of an error after which the stream goes on; return it."""
        error = ErrorResponse(code=code, message=message, timestamp_ms=self._clock.wall_ms())
        self._reply(TelemetryResponse(timestamp_ms=error.timestamp_ms, error=error))
        return error

    def fail(self, code: ErrorCode, message: str) -> ErrorResponse | None:
        """End the stream: the error first, then its status. None where it was ending already."""
        if self.over:
            return None
        error = ErrorResponse(code=code, message=message, timestamp_ms=self._clock.wall_ms())
        response = TelemetryResponse(timestamp_ms=error.timestamp_ms, error=error)
        self._farewell = seal(response.SerializeToString())
        self._commands.clear()
        self._config = None
        self.end(Status[STREAM_ENDING_STATUS[ErrorCode.Name(code)]], message)
        return error

    def take(self, now: float) -> bytes | None:  # noqa: ARG002 - there is no pace here
        """Return the next message: answers, commands, wishes, acknowledgments, the farewell."""
        if self._replies:
            return self._replies.popleft()
        while self._commands and self.session is not None:
            command_id = self._commands.popleft()
            command = self.session.commands.to_send(command_id)
            if command is not None:
                self._written = command_id
                return self._response(TelemetryResponse(command=command))
        if self._config is not None:
            config, self._config = self._config, None
            return self._response(TelemetryResponse(config=config))
        return self._next_acknowledgment() or self._last_word()

    def sent(self) -> None:
        """Put a command that was written on record as sent."""
        if self._written is not None and self.session is not None:
            command_id, self._written = self._written, None
            self.session.commands.was_sent(command_id)

    def _next_acknowledgment(self) -> bytes | None:
        acknowledgment = Acknowledgment(timestamp_ms=self._clock.wall_ms())
        if self._acknowledged is not None:
            acknowledgment.acknowledged_sequence = self._acknowledged
            self._acknowledged = None
        elif self._receipts:
            self._receipts -= 1
        else:
            return None
        return self._response(TelemetryResponse(acknowledgment=acknowledgment))

    def _last_word(self) -> bytes | None:
        farewell, self._farewell = self._farewell, None
        return farewell

    def _reply(self, response: TelemetryResponse) -> None:
        self._replies.append(seal(response.SerializeToString()))
        self.wake()

    def _response(self, response: TelemetryResponse) -> bytes:
        response.timestamp_ms = self._clock.wall_ms()
        return seal(response.SerializeToString())

    # Whether it is still there.

    def watch(self) -> ErrorResponse | None:
        """Notice silence; call it a few times a second. Returns what was told, if anything."""
        now, received = self._clock.monotonic(), self._received()
        if received != self._bytes_seen:
            self._bytes_seen, self._heard_at = received, now
        if self.over:
            return None
        if now - self._heard_at > self._timeout_s:
            return self.fail(
                ErrorCode.ERROR_CODE_CONNECTION_TIMEOUT,
                f"nothing was received from {self._peer or 'the training'} for "
                f"{self._timeout_s:g} s, the limit: register again and open a new stream",
            )
        others_flow = now - self._heard_at < self._timeout_s / 2
        if others_flow and not self._warned and now - self._heartbeat_at > self._timeout_s:
            self._warned = True
            return self.error(
                ErrorCode.ERROR_CODE_HEARTBEAT_TIMEOUT,
                f"other messages arrive, but no heartbeat for {self._timeout_s:g} s: send one "
                "every 1 to 2 s",
            )
        return None
