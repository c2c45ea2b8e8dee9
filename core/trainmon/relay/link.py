"""The link to the monitor: register, stream, heartbeats, and all again after each loss.

Order on the stream: heartbeats, answers to commands while there is a backlog, then what must
arrive, then rates, then pictures. Of pictures at most one waits; a newer one takes its place.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import h2.exceptions
from grpclib.client import Stream
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from trainmon import wire
from trainmon.config import Settings, parse_address
from trainmon.relay.backoff import Backoff
from trainmon.relay.clock import ClockOffset
from trainmon.relay.connection import SealingCodec, WatchedChannel, send_picture
from trainmon.relay.losses import LossCounter
from trainmon.relay.outbox import Outbox
from trainmon.relay.parcels import ENVELOPE_BYTES, Parcels
from trainmon.tasks import within
from trainmon.v1.control_pb2 import CommandResult, ControlCommand
from trainmon.v1.telemetry_grpc import TelemetryServiceStub
from trainmon.v1.telemetry_pb2 import (
    BatchData,
    ErrorCode,
    ErrorResponse,
    Heartbeat,
    PerformanceData,
    RegisterTrainingSessionRequest,
    SessionConfig,
    SessionResponse,
    TelemetryRequest,
    TelemetryResponse,
)

__all__ = ["Link", "LinkHandler"]

_GOODBYE_S = 1.0
#: No monitor takes less; see TRAINMON_MAX_MESSAGE_BYTES.
_LEAST_LIMIT = 64 << 10
#: What a monitor may ask for of silence and heartbeats, in ms; what lies outside is brought within.
#: With less no link would ever stand, with more none would ever be missed.
_TIMEOUT_MS = (1000, 60_000)
_LEAST_BEAT_MS = 100
#: Answers that wait to be shown ahead of a backlog; of more the newest.
_MOST_RESULTS = 100
_FINAL = frozenset(
    {
        ErrorCode.ERROR_CODE_SESSION_CLOSED,
        ErrorCode.ERROR_CODE_SESSION_SUPERSEDED,
        ErrorCode.ERROR_CODE_UNSUPPORTED_PROTOCOL,
    }
)

#: How a registration fails where nothing is wrong with it.
_PASSING = frozenset(
    {Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.CANCELLED, Status.DATA_LOSS}
)

#: How a link is lost in the ordinary course of things. An AssertionError is how grpclib says that a
#: stream ended within a message.
_LOSSES = (
    GRPCError,
    StreamTerminatedError,
    OSError,
    asyncio.TimeoutError,
    h2.exceptions.ProtocolError,
    AssertionError,
)

_Stream = Stream[TelemetryRequest, TelemetryResponse]


class LinkHandler(Protocol):
    """What the link asks of the relay and tells it; called in the event loop, never waiting."""

    def registration(self) -> RegisterTrainingSessionRequest:
        """Return the run as it is known now."""

    def heartbeat(self) -> Heartbeat:
        """Return what is seen of the training now."""

    def linked(self, *, anew: bool) -> None:
        """The monitor has registered us; ``anew``: it knew nothing of this producer."""

    def configured(self, config: SessionConfig) -> None:
        """The monitor wants this from now on."""

    def commanded(self, command: ControlCommand) -> None:
        """Somebody asks for something."""

    def unlinked(self) -> None:
        """The link is lost."""

    def warned(self, kind: str, text: str) -> None:
        """Something is wrong that people should know; of a kind it is said once."""

    def acknowledged(self) -> None:
        """Something has reached the monitor for good."""

    def picture_sent(self) -> None:
        """A picture is on its way."""


@dataclass
class _Pending:
    """What waits to be sent beside the outbox: answers, and the newest of everything else."""

    results: deque[CommandResult] = field(default_factory=partial(deque, maxlen=_MOST_RESULTS))
    picture: BatchData | None = None
    leaving: bytes = b""
    """The picture that goes with the request that was taken last, serialised."""
    performance: PerformanceData | None = None
    heartbeat_due: bool = False


class Link:
    """Keeps one stream to the monitor open for as long as there is something to do.

    Args:
        settings: Where the monitor listens, and what holds until it says what it wants.
        producer_id: From the registration; goes with every message.
        outbox: What must arrive.
        handler: The relay.
        losses: Where pictures that were replaced or had no link are counted.
        clock: Learns the monitor's clock.
    """

    def __init__(
        self,
        settings: Settings,
        producer_id: str,
        outbox: Outbox,
        handler: LinkHandler,
        losses: LossCounter,
        clock: ClockOffset,
    ) -> None:
        self._monitor = settings.monitor
        self._producer_id = producer_id
        self._outbox = outbox
        self._parcels = Parcels(outbox)
        self._handler = handler
        self._losses = losses
        self._clock = clock
        self._backoff = Backoff()
        self._codec = SealingCodec()
        self._pending = _Pending()
        self._work = asyncio.Event()
        # Until the monitor says otherwise.
        self._config = SessionConfig(
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            heartbeat_timeout_ms=settings.heartbeat_timeout_ms,
            max_message_bytes=settings.max_message_bytes,
        )
        self._beats = 0
        self._ending = False
        self.session_id = ""
        self.up = False
        """Whether the stream stands."""
        self.ended: ErrorResponse | None = None
        """Why the monitor wants nothing more of this relay; None: it does."""
        self.last_loss = ""
        """Why the link was lost last, for people."""

    # --- what is to be sent -----------------------------------------------------------------------

    def offer_picture(self, batch: BatchData) -> bool:
        """Send a live picture if the link keeps up; return whether the one before still waited."""
        if not self.up:
            self._losses.add("picture", "link_down")
            return False
        late = self.supersede_picture()
        self._pending.picture = batch
        self._work.set()
        return late

    def supersede_picture(self) -> bool:
        """Drop the picture that waits, if one does: a newer one takes its place."""
        late = self._pending.picture is not None
        if late:
            self._losses.add("picture", "link_busy")
            self._pending.picture = None
        return late

    def offer_performance(self, data: PerformanceData) -> None:
        """Send rates; of several that wait only the newest."""
        if self.up:
            self._pending.performance = data
            self._work.set()

    def offer_result(self, result: CommandResult) -> None:
        """Show an answer ahead of a backlog; it comes again in its turn, to be kept.

        A monitor takes the same answer twice for one.
        """
        if self.up:
            self._pending.results.append(result)
            self._work.set()

    def take_time(self, leisurely: bool) -> None:
        """Note whether nobody waits for scalars."""
        self._parcels.leisurely = leisurely

    def outbox_filled(self) -> None:
        """Look into the outbox."""
        if self._parcels.ready():
            self._work.set()

    # --- its life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and connect again, until the monitor wants no more or the task is cancelled."""
        while self.ended is None:
            self._backoff.begin()
            try:
                await self._connect()
                self.last_loss = "the monitor ended the stream"
            except _LOSSES as error:
                self._lost(error)
            except Exception as error:  # noqa: BLE001 - the link's door: whatever a peer provokes, it comes back
                self._losses.add("relay", "exception")
                self._lost(error)
                self._handler.warned("link", f"the link failed unexpectedly: {self.last_loss}")
            finally:
                self._down()
            if self._ending or self.ended is not None:
                return
            await asyncio.sleep(self._backoff.wait_s())

    def finish(self) -> None:
        """End the stream politely once it has nothing more to carry; :meth:`run` then returns."""
        self._ending = True
        self._work.set()

    async def _connect(self) -> None:
        timeout_s = self._config.heartbeat_timeout_ms / 1e3
        channel = WatchedChannel(*parse_address(self._monitor), self._codec)
        try:
            stub = TelemetryServiceStub(channel)
            limit = self._config.max_message_bytes - ENVELOPE_BYTES
            request = wire.fitting(self._handler.registration(), limit)
            request.session_id = self.session_id
            request.timestamp_ms = wire.now_ms()
            self._registered(await within(timeout_s, stub.RegisterTrainingSession(request)))
            async with stub.StreamTelemetry.open() as stream:
                await self._converse(channel, stream)
        finally:
            channel.close()

    def _registered(self, response: SessionResponse) -> None:
        self.session_id = response.session_id
        anew = not response.HasField("stored_sequence")
        self._config.takes_joined = False  # unless this monitor says so
        self._outbox.registered(None if anew else response.stored_sequence)
        self._configure(response.config)
        self.up = True
        self._handler.linked(anew=anew)

    def _configure(self, config: SessionConfig) -> None:
        """Take over what the monitor wants; a field it left out stays as it was."""
        self._config.MergeFrom(config)
        # 0 says that nobody watches, and must not be taken for a field left out.
        self._config.frames_per_second = config.frames_per_second
        self._config.viewers = config.viewers
        self._parcels.joins = self._config.takes_joined
        _bring_within_reason(self._config)
        self._handler.configured(self._config)

    def _down(self) -> None:
        self.up = False
        self._clock.restart()
        if self._pending.picture is not None:
            self._losses.add("picture", "link_down")
        self._pending = _Pending()
        self._handler.unlinked()

    def _lost(self, error: Exception) -> None:
        """Tell a refusal for good from a link that may come back."""
        self.last_loss = f"{type(error).__name__}: {error}"
        if not isinstance(error, GRPCError):
            return
        text = error.message or ""
        self.last_loss = f"{error.status.name}: {text}"
        if error.status is Status.FAILED_PRECONDITION and self.ended is None:
            # The ErrorResponse that names the code can be lost: a reset stream is not read on.
            self.ended = ErrorResponse(message=text)
        elif not self.up and error.status not in _PASSING:
            self._refused(error.status, text)

    def _refused(self, status: Status, text: str) -> None:
        """Note why a registration was refused; the reason may pass, so it is tried again."""
        limit = self._config.max_message_bytes
        size = self._handler.registration().ByteSize() + ENVELOPE_BYTES
        if status is Status.RESOURCE_EXHAUSTED and limit > _LEAST_LIMIT and size > _LEAST_LIMIT:
            self._config.max_message_bytes = max(_LEAST_LIMIT, limit // 2)
            return
        self._handler.warned(
            f"refused {status.name}",
            f"the monitor at {self._monitor} does not take this run ({status.name}: {text}); it is "
            "asked again and again, training goes on (said once)",
        )

    # --- one stream -------------------------------------------------------------------------------

    async def _converse(self, channel: WatchedChannel, stream: _Stream) -> None:
        await stream.send_request()
        self._beats = 0
        tasks = [
            asyncio.create_task(self._send(stream), name="trainmon-link-send"),
            asyncio.create_task(self._receive(stream), name="trainmon-link-receive"),
            asyncio.create_task(
                channel.watch(self._config.heartbeat_timeout_ms / 1e3), name="trainmon-link-watch"
            ),
            asyncio.create_task(self._beat(), name="trainmon-link-beat"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0] in done and tasks[0].exception() is None:
                # Everything was said, and the stream ended on our side.
                await asyncio.wait(tasks[1:2], timeout=_GOODBYE_S)
                return
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            self._pending.heartbeat_due = True
            self._work.set()
            await asyncio.sleep(self._config.heartbeat_interval_ms / 1e3)

    async def _send(self, stream: _Stream) -> None:
        while True:
            request = self._next()
            if request is None:
                if self._ending:
                    await stream.end()
                    return
                self._work.clear()
                await self._work.wait()
                continue
            request.session_id = self.session_id
            request.producer_id = self._producer_id
            if not request.timestamp_ms:
                request.timestamp_ms = wire.now_ms()
            if request.HasField("heartbeat"):
                self._clock.sent(self._beats, time.time() * 1e3)
            picture, self._pending.leaving = self._pending.leaving, b""
            if picture:
                await send_picture(stream, request, picture)
            else:
                await stream.send_message(request)
            if picture or request.HasField("batch_data"):
                self._handler.picture_sent()

    def _next(self) -> TelemetryRequest | None:
        pending = self._pending
        if pending.heartbeat_due:
            pending.heartbeat_due = False
            self._beats += 1
            heartbeat = self._handler.heartbeat()
            heartbeat.timestamp_ms = wire.now_ms()
            heartbeat.sequence_number = self._beats
            return TelemetryRequest(heartbeat=heartbeat)
        if pending.results:
            result = pending.results.popleft()
            return TelemetryRequest(command_result=result, timestamp_ms=result.timestamp_ms)
        return self._next_sequenced() or self._next_best_effort()

    def _next_sequenced(self) -> TelemetryRequest | None:
        # After the last state the session is over: first its last picture.
        waits = self._pending.picture is not None
        return self._parcels.next(self._config.max_message_bytes, hold_last=waits)

    def _too_large(self, size: int) -> bool:
        return size + ENVELOPE_BYTES > self._config.max_message_bytes

    def _next_best_effort(self) -> TelemetryRequest | None:
        pending = self._pending
        if pending.performance is not None:
            performance, pending.performance = pending.performance, None
            return TelemetryRequest(performance_data=performance)
        if pending.picture is not None:
            picture, pending.picture = pending.picture, None
            data = picture.SerializeToString()
            if self._too_large(len(data)):
                self._losses.add("picture", "message_too_large")
                return self._next_sequenced()
            pending.leaving = data
            return TelemetryRequest(timestamp_ms=picture.timestamp_ms)
        return None

    async def _receive(self, stream: _Stream) -> None:
        async for response in stream:
            kind = response.WhichOneof("payload")
            if kind == "acknowledgment":
                if response.acknowledgment.HasField("acknowledged_sequence"):
                    self._outbox.acknowledge(response.acknowledgment.acknowledged_sequence)
                    self._work.set()
                    self._handler.acknowledged()
            elif kind == "command":
                self._handler.commanded(response.command)
            elif kind == "config":
                self._configure(response.config)
            elif kind == "heartbeat":
                self._clock.replied(response.heartbeat, time.time() * 1e3)
            elif kind == "error":
                self._hear(response.error)
        # Leaving the stream with this makes grpclib raise the status it ended with, if a bad one.
        raise StreamTerminatedError("the monitor ended the stream")

    def _hear(self, error: ErrorResponse) -> None:
        if error.code in _FINAL:
            self.ended = error
            raise StreamTerminatedError(error.message)
        if error.code != ErrorCode.ERROR_CODE_HEARTBEAT_TIMEOUT:
            name = ErrorCode.Name(error.code).removeprefix("ERROR_CODE_")
            self._handler.warned(name, f"the monitor says {name}: {error.message}")


def _bring_within_reason(config: SessionConfig) -> None:
    """Change what no link could live with: for a mistaken monitor nothing is to be thrown away."""
    least_ms, most_ms = _TIMEOUT_MS
    timeout_ms = min(max(config.heartbeat_timeout_ms, least_ms), most_ms)
    config.heartbeat_timeout_ms = timeout_ms
    config.heartbeat_interval_ms = min(
        max(config.heartbeat_interval_ms, _LEAST_BEAT_MS), timeout_ms // 2
    )
    config.max_message_bytes = max(config.max_message_bytes, _LEAST_LIMIT)
