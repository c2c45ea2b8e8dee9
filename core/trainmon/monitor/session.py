"""One session as the monitor knows it: its producers, how far it is, what it says of itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from grpclib.const import Status

from trainmon.monitor.commands import CommandBook
from trainmon.monitor.details import merge_details, merge_registration
from trainmon.monitor.epochs import EpochTable
from trainmon.monitor.hub import Hub
from trainmon.monitor.liveness import Liveness, joint_state
from trainmon.monitor.producer import Producer, present_ranks
from trainmon.monitor.progress import Progress
from trainmon.monitor.refusal import RefusedError
from trainmon.monitor.validation import MAX_SAMPLES
from trainmon.monitor.wire_events import EventField
from trainmon.v1.control_pb2 import CommandRecord, CommandState
from trainmon.v1.dashboard_pb2 import SessionState
from trainmon.v1.telemetry_pb2 import (
    BatchData,
    ErrorCode,
    ErrorResponse,
    PerformanceData,
    RegisterTrainingSessionRequest,
    SessionConfig,
    SessionDetails,
)

if TYPE_CHECKING:
    from trainmon.config import Settings
    from trainmon.monitor.clock import Clock
    from trainmon.monitor.link import TrainerLink

__all__ = ["MAX_PRODUCERS", "Session", "SessionObserver"]

#: Processes that may belong to one session. Each is in every list of it.
MAX_PRODUCERS = 1024
#: Errors of a session that are remembered.
_MAX_ERRORS = 20
#: Notes of a session that are remembered.
_MAX_NOTES = 100
#: Characters of a note, and of what a training said last, that are remembered.
_MAX_TEXT = 2000
#: Viewers hear of errors of one code at most this often, in seconds.
_ERROR_EVERY_S = 1.0


class SessionObserver(Protocol):
    """Who wants to know what happens in a session. No method may wait or raise."""

    def summary_changed(self, session: Session) -> None:
        """Rates or progress are others now."""

    def state_changed(self, session: Session) -> None:
        """It registered, does something else now, or ended."""

    def command_changed(self, record: CommandRecord) -> None:
        """A command was recorded or entered another state."""

    def error_noted(self, session: Session, error: ErrorResponse) -> None:
        """An error was told to viewers."""

    def send_command(self, link: TrainerLink, record: CommandRecord) -> None:
        """A command is to go to a training: put it on record that it may, then send it."""


class Session:
    """One run. Belongs to one event loop; nothing here waits.

    Args:
        session_id: Names it everywhere.
        settings: The monitor's settings.
        clock: The clocks.
        identity: Names the store and this session's time in it, for cursors.
        observer: Who is told.
        incarnation: Tells it from an earlier session of that id, which was deleted.
        counter: Counts what viewers are told; see :class:`Hub`.
    """

    def __init__(
        self,
        session_id: str,
        settings: Settings,
        clock: Clock,
        identity: str,
        observer: SessionObserver,
        incarnation: str = "",
        counter: Iterator[int] | None = None,
    ) -> None:
        self.id = session_id
        self.incarnation = incarnation
        self.registration = RegisterTrainingSessionRequest()
        self.producers: dict[str, Producer] = {}
        self.progress = Progress()
        self.performance: PerformanceData | None = None
        self.newest_batch: BatchData | None = None
        self.epochs = EpochTable()
        self.errors: deque[ErrorResponse] = deque(maxlen=_MAX_ERRORS)
        self.notes: dict[str, None] = {}
        self.status_message = ""
        self.started_ms = self.last_seen_ms = clock.wall_ms()
        self.ended_ms: int | None = None
        self.state = SessionState.SESSION_STATE_STARTING
        self.is_on_record = False
        """Whether the store knows of it: what is kept of a session is found by this alone."""
        self.hub = Hub(identity, settings.viewer_queue_bytes, clock, self._viewers_changed, counter)
        self.commands = CommandBook(session_id, clock, self._command_changed)
        self._settings = settings
        self._clock = clock
        self._observer = observer
        self._commands_went_to = ""
        self._was_linked = False
        self._first_rank = 0
        self._error_told: dict[int, float] = {}

    # Who belongs to it.

    @property
    def ended(self) -> bool:
        """Whether every process of it has ended."""
        return self.ended_ms is not None

    def join(self, request: RegisterTrainingSessionRequest) -> tuple[Producer, TrainerLink | None]:
        """Take in a producer, new or again.

        Returns:
            The producer, and the stream it had open, which is no longer its own.

        Raises:
            RefusedError: RESOURCE_EXHAUSTED where too many processes have joined.
        """
        now = self._clock.monotonic()
        producer = self.producers.get(request.producer_id)
        if producer is None:
            self._make_room()
            life = Liveness(self._settings.heartbeat_timeout_ms / 1000, now)
            producer = self.producers[request.producer_id] = Producer(request, life)
        producer.describe(request)
        self._first_rank = min(each.rank for each in self.producers.values())
        superseded = self._detach(producer)
        producer.life.registered(now)
        producer.last_seen_ms = self.last_seen_ms = self._clock.wall_ms()
        complaint = merge_registration(
            self.registration, request, prefer_news=self.is_first_rank(producer)
        )
        if complaint:
            self._note_refused(complaint)
        producer.config = self.config_for(producer)
        self.refresh()
        return producer, superseded

    def link_opened(self, producer: Producer, link: TrainerLink) -> TrainerLink | None:
        """A producer's stream is open; return the one it had open before, if any."""
        superseded = self._detach(producer)
        producer.link = link
        producer.life.link_opened()
        self._was_linked = True
        self._tell_demand()
        if self._controller() is producer:
            for command_id in self.commands.unsent():
                self._send(producer, command_id)
        self.refresh()
        return superseded

    def link_closed(self, producer: Producer, link: TrainerLink) -> None:
        """A stream is gone; one that was superseded before means nothing."""
        if producer.link is not link:
            return
        self._detach(producer)
        producer.life.link_ended(self._clock.monotonic())
        if self.ended and not self._linked():
            self.commands.session_ended(sent_too=True)
        self._tell_demand()
        self.refresh()

    def is_first_rank(self, producer: Producer) -> bool:
        """Return whether no other producer has a lower rank: it speaks for the run."""
        return producer.rank == self._first_rank

    def _make_room(self) -> None:
        """Forget a process that was replaced, where too many have joined; the store forgets not."""
        if len(self.producers) < MAX_PRODUCERS:
            return
        present = {each.id for each in present_ranks(self.producers.values())}
        replaced = next((name for name in self.producers if name not in present), None)
        if replaced is None:
            raise RefusedError(
                Status.RESOURCE_EXHAUSTED,
                f"{MAX_PRODUCERS} processes belong to session {self.id}, which is the limit: "
                "start another run, with a run_key of its own",
            )
        del self.producers[replaced]

    def _note_refused(self, reason: str) -> None:
        code = ErrorCode.ERROR_CODE_RESOURCE_EXHAUSTED
        now_ms = self._clock.wall_ms()
        self.note_error(ErrorResponse(code=code, message=reason, timestamp_ms=now_ms))

    def _detach(self, producer: Producer) -> TrainerLink | None:
        link, producer.link = producer.link, None
        if link is not None:
            producer.life.link_superseded(self._clock.monotonic())
            if producer.id == self._commands_went_to:
                self.commands.link_lost()
        return link

    def _linked(self) -> list[Producer]:
        linked = [each for each in self.producers.values() if each.link is not None]
        return sorted(linked, key=lambda each: each.rank)

    def _controller(self) -> Producer | None:
        """Return who gets commands: the first rank that has a stream and has not ended."""
        return next((each for each in self._linked() if not each.life.ended), None)

    # What is asked of it.

    def send_recorded(self, record: CommandRecord) -> None:
        """Send a command that is on record, if there is a stream to send it on."""
        producer = self._controller()
        if producer is not None:
            self._send(producer, record.command.command_id)

    def _send(self, producer: Producer, command_id: str) -> None:
        record = self.commands.get(command_id)
        if producer.link is not None and record is not None:
            self._commands_went_to = producer.id
            self._observer.send_command(producer.link, record)

    def _command_changed(self, record: CommandRecord) -> None:
        if record.state == CommandState.COMMAND_STATE_APPLIED:
            self._control_applied(record)
        self.hub.publish(EventField.COMMAND_RECORD, record.SerializeToString())
        self._observer.command_changed(record)

    def _control_applied(self, record: CommandRecord) -> None:
        if not record.result.HasField("applied_value"):
            return
        change = record.command.WhichOneof("action")
        name = (
            "learning_rate" if change == "adjust_learning_rate" else record.command.set_control.name
        )
        for spec in self.registration.controls:
            if spec.name == name:
                spec.current_value = record.result.applied_value

    def config_for(self, producer: Producer) -> SessionConfig:
        """Return what the monitor wants of a producer; pictures of the first linked rank only."""
        return self._config(producer, min(each.rank for each in (*self._linked(), producer)))

    def _config(self, producer: Producer, first: int) -> SessionConfig:
        settings, demand = self._settings, self.hub.demand
        return SessionConfig(
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            heartbeat_timeout_ms=settings.heartbeat_timeout_ms,
            max_images=MAX_SAMPLES,
            tile_size=demand.tile_size,
            image_quality=settings.image_quality,
            frames_per_second=demand.frames_per_second if producer.rank == first else 0.0,
            performance_every_n_batches=settings.performance_every_n_batches,
            max_message_bytes=settings.max_message_bytes,
            viewers=self.hub.viewers,
            takes_joined=True,
        )

    def _viewers_changed(self) -> None:
        self._tell_demand()
        self._observer.summary_changed(self)

    def _tell_demand(self) -> None:
        linked = self._linked()
        for producer in linked:
            config = self._config(producer, linked[0].rank)
            if producer.link is not None and config != producer.config:
                producer.config = config
                told = SessionConfig(timestamp_ms=self._clock.wall_ms())
                told.MergeFrom(config)
                producer.link.configure(told)

    # What it says of itself.

    def learn(self, details: SessionDetails) -> str:
        """Add what became known since registration; return why not, empty where it was added."""
        for note in details.notes:
            if len(self.notes) < _MAX_NOTES:
                self.notes[note[:_MAX_TEXT]] = None
        return merge_details(self.registration, details)

    def said(self, message: str) -> None:
        """Take note of what the training said last, for people."""
        self.status_message = message[:_MAX_TEXT]

    def note_error(self, error: ErrorResponse) -> None:
        """Remember an error and tell viewers, at most once a second for each code."""
        now = self._clock.monotonic()
        told = self._error_told.get(error.code)
        if told is None or now - told >= _ERROR_EVERY_S:
            self._error_told[error.code] = now
            self.errors.append(error)
            self.hub.publish(EventField.ERROR, error.SerializeToString())
            self._observer.error_noted(self, error)

    def heard_from(self, producer: Producer) -> None:
        """Take note that a message of a producer arrived."""
        producer.last_seen_ms = self.last_seen_ms = self._clock.wall_ms()
        self._observer.summary_changed(self)

    def refresh_for(self, producer: Producer) -> None:
        """Work out its state after news of one producer; looks at the others only if need be."""
        standing = (producer.life.state, producer.life.ended)
        if standing != producer.standing:
            producer.standing = standing
            self.refresh()

    def refresh(self) -> None:
        """Work out its state; if that has changed, everyone is told."""
        ranks = present_ranks(self.producers.values())
        state = joint_state(each.life for each in ranks)
        ended = bool(ranks) and all(each.life.ended for each in ranks)
        if state == self.state and ended == self.ended:
            return
        self.state = state
        if not ended:
            self.ended_ms = None
        elif self.ended_ms is None:
            self.ended_ms = self._clock.wall_ms()
            self.commands.session_ended(sent_too=not self._linked())
        self._observer.state_changed(self)

    def check(self) -> None:
        """Look at what only time changes; call it a few times a second."""
        now = self._clock.monotonic()
        for producer in self.producers.values():
            producer.life.check(now)
        self.commands.check()
        self.hub.measure_demand()
        self.refresh()

    def restored(self, ended_ms: int | None) -> None:
        """Work out its state after an earlier monitor's end; nobody is told: it was so before.

        Args:
            ended_ms: When it ended, as far as that was put on record.
        """
        self._was_linked = bool(self.producers)
        self._first_rank = min((each.rank for each in self.producers.values()), default=0)
        ranks = present_ranks(self.producers.values())
        self.state = joint_state(each.life for each in ranks)
        if ranks and all(each.life.ended for each in ranks):
            self.ended_ms = self.last_seen_ms if ended_ms is None else ended_ms

    @property
    def is_idle(self) -> bool:
        """Whether nobody watches it and no stream of it is open."""
        return not self.hub.viewers and not self._linked()

    @property
    def was_linked(self) -> bool:
        """Whether any stream of it was ever open."""
        return self._was_linked

    def unlinked_for(self) -> float:
        """Return for how many seconds no stream of it has been open; 0 while one is."""
        if self._linked() or not self.producers:
            return 0.0
        since = max(each.life.unlinked_since for each in self.producers.values())
        return self._clock.monotonic() - since
