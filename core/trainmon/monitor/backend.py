"""The monitor without its sockets: what the two services ask for, and what time brings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from grpclib.const import Status

from trainmon.config import Settings
from trainmon.monitor.clock import Clock
from trainmon.monitor.command_checks import check_command
from trainmon.monitor.framing import MessageTooLargeError
from trainmon.monitor.ingest import Ingest
from trainmon.monitor.keeper import Keeper
from trainmon.monitor.link import TrainerLink
from trainmon.monitor.outlet import Outlet
from trainmon.monitor.producer import Producer
from trainmon.monitor.refusal import RefusedError
from trainmon.monitor.registry import Registry
from trainmon.monitor.session import Session
from trainmon.monitor.store.base import Store, StoreReadError, StoreWriteError
from trainmon.monitor.summaries import keep_alive, summarise
from trainmon.monitor.watchlist import ListWatcher, Watchlist
from trainmon.sealing import BrokenSealError
from trainmon.tasks import Tasks
from trainmon.v1.control_pb2 import CommandRecord, ControlCommand
from trainmon.v1.telemetry_pb2 import (
    ErrorCode,
    ErrorResponse,
    RegisterTrainingSessionRequest,
    SessionResponse,
    TelemetryRequest,
)

if TYPE_CHECKING:
    from trainmon.manager import PluginManager

__all__ = ["TICK_S", "Backend"]

#: How often silence, overdue answers and falling demand are looked for, in seconds.
TICK_S = 0.25
#: How often viewers hear that the link lives, in seconds.
KEEP_ALIVE_S = 1.0

_log = logging.getLogger(__name__)


class Backend:
    """Owns all state. Belongs to one event loop.

    Args:
        settings: The monitor's settings.
        store: Where history is kept.
        clock: The clocks.
        plugins: Who is told what happens here; None: nobody.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        plugins: PluginManager | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self.plugins = plugins
        self.watchlist = Watchlist()
        self.keeper = Keeper(store, clock)
        self.registry = Registry(settings, clock, store, self, self._forgotten, self._asleep)
        tell = plugins is not None and plugins.implements("trainmon_monitor_telemetry")
        on_valid = plugins.monitor_telemetry if plugins is not None and tell else None
        self._ingest = Ingest(settings, clock, store, self.keeper, on_valid)
        self._unfinished = Tasks()
        self._recording: dict[tuple[Session, str], asyncio.Task[None]] = {}
        self._links: dict[TrainerLink, None] = {}
        self._outlets: dict[Outlet, None] = {}
        self._no_streams = asyncio.Event()
        self._no_streams.set()
        self._keep_alive_at = 0.0
        self.closing = False
        self.failed_checks = 0
        """How often looking after a session failed; each is in the log."""

    async def start(self) -> None:
        """Take over what an earlier monitor kept; call it before anything else."""
        await self.registry.load()

    # Trainings.

    async def register(self, request: RegisterTrainingSessionRequest) -> SessionResponse:
        """Open, join or take over a session.

        Raises:
            RefusedError: It cannot be; says why.
        """
        session = await self.registry.enter(request)
        known = request.producer_id in session.producers
        if not known:
            # Before it joins: another registration of it may come while the store looks.
            stored = await self.store.stored_sequence(session.id, request.producer_id)
            known = request.producer_id in session.producers
        producer, superseded = session.join(request)
        if superseded is not None:
            self._supersede(session, superseded)
        if not known:
            producer.sequences.stored = stored
            self.state_changed(session)
        await self.keeper.put(session)
        # What the stream before had given to the store is there, and nobody was left to hear of it.
        with suppress(StoreReadError):
            producer.sequences.advance(
                await self.store.stored_sequence(session.id, request.producer_id)
            )
        now = self.clock.wall_ms()
        config = session.config_for(producer)
        config.timestamp_ms = now
        return SessionResponse(
            session_id=session.id,
            config=config,
            stored_sequence=producer.sequences.stored,
            timestamp_ms=now,
        )

    async def take(
        self, link: TrainerLink, request: TelemetryRequest, data: bytes | None = None
    ) -> None:
        """Take in one message of a stream; the first one binds the stream to its session.

        Args:
            link: The stream.
            request: The message.
            data: The same as it came; None: it is not at hand.
        """
        if link.session is None:
            bound = self._bind(link, request, await self.registry.find(request.session_id))
        else:
            bound = self._same(link, request)
        if bound is not None:
            session, producer = bound
            link.is_taking = True
            try:
                await self._ingest.take(link, session, producer, request, data)
            finally:
                link.is_taking = False

    def undecodable(self, link: TrainerLink) -> None:
        """A message of a stream could not be decoded; the stream goes on."""
        error = link.error(
            ErrorCode.ERROR_CODE_INVALID_MESSAGE,
            "a message cannot be decoded as trainmon.v1.TelemetryRequest: it was dropped; the "
            "sender is of another protocol or broken",
        )
        if link.session is not None:
            link.session.note_error(error)

    def changed_on_its_way(self, link: TrainerLink, reason: BrokenSealError) -> None:
        """A message is not what was sent; the stream ends, and what is not kept comes again."""
        code = ErrorCode.ERROR_CODE_INVALID_MESSAGE
        error = link.error(code, f"{reason}; the stream ends, and it is sent again")
        if link.session is not None:
            link.session.note_error(error)
        link.end(Status.DATA_LOSS, str(reason))

    def too_large(self, link: TrainerLink, reason: MessageTooLargeError) -> None:
        """A stream announced a message over the limit; it ends."""
        error = link.fail(ErrorCode.ERROR_CODE_MESSAGE_TOO_LARGE, str(reason))
        if error is not None and link.session is not None:
            link.session.note_error(error)

    def link_opened(self, link: TrainerLink) -> None:
        """A stream was opened; whose it is, its first message tells."""
        self._links[link] = None
        self.attach(link)

    async def link_closed(self, link: TrainerLink, reader: asyncio.Task[None]) -> None:
        """A stream is gone; return when its reader is, too.

        What the store has been given it keeps, and nobody sends it again: so a message that is
        being taken in is shown first.

        Args:
            link: The stream.
            reader: Who takes in its messages, until the stream is over.
        """
        # First what cannot be interrupted: grpclib may cancel a handler a second time.
        link.end(Status.OK)
        if not link.is_taking:
            reader.cancel()
        self._links.pop(link, None)
        self.detach(link)
        if link.session is not None and link.producer is not None:
            link.session.link_closed(link.producer, link)
        await asyncio.wait({reader})

    def _bind(
        self, link: TrainerLink, request: TelemetryRequest, session: Session | None
    ) -> tuple[Session, Producer] | None:
        unknown = ErrorCode.ERROR_CODE_UNKNOWN_SESSION
        if session is None:
            link.fail(unknown, f"{self.registry.unknown(request.session_id)}; register first")
            return None
        producer = session.producers.get(request.producer_id)
        if producer is None and not request.producer_id and len(session.producers) == 1:
            producer = next(iter(session.producers.values()))
        if producer is None:
            link.fail(
                unknown,
                f"producer {request.producer_id[:64]!r} has not registered in session "
                f"{session.id}: register first",
            )
            return None
        link.session, link.producer = session, producer
        superseded = session.link_opened(producer, link)
        if superseded is not None:
            self._supersede(session, superseded)
        return session, producer

    def _same(
        self, link: TrainerLink, request: TelemetryRequest
    ) -> tuple[Session, Producer] | None:
        session, producer = link.session, link.producer
        if session is None or producer is None or link.over:
            return None
        if request.session_id not in {"", session.id} or (
            request.producer_id not in {"", producer.id}
        ):
            error = link.error(
                ErrorCode.ERROR_CODE_INVALID_MESSAGE,
                f"this stream belongs to session {session.id}, producer {producer.id!r}; a message "
                "for another was dropped: open one stream for each",
            )
            session.note_error(error)
            return None
        return session, producer

    def _supersede(self, session: Session, link: TrainerLink) -> None:
        error = link.fail(
            ErrorCode.ERROR_CODE_SESSION_SUPERSEDED,
            f"the same producer of session {session.id} has registered again or opened another "
            "stream: if two processes share a producer_id, give each its own",
        )
        if error is not None:
            session.note_error(error)

    # Viewers.

    async def submit(self, session: Session, command: ControlCommand) -> CommandRecord:
        """Check a command, put it on record, then send it. The same id is the same command.

        Raises:
            RefusedError: It can never hold, or the session has ended.
        """
        known = session.commands.get(command.command_id) if command.command_id else None
        if known is not None:
            recording = self._recording.get((session, command.command_id))
            if recording is not None:
                await asyncio.shield(recording)
            return known
        if session.ended:
            raise RefusedError(
                Status.FAILED_PRECONDITION,
                f"session {session.id} has ended: there is nothing left to control",
            )
        check_command(command, {spec.name: spec for spec in session.registration.controls})
        record = session.commands.record(command)
        # Whoever asks may go meanwhile: what is on record is sent all the same.
        recording = self._unfinished.promise(self._put_on_record(session, record), "SendCommand")
        self._recording[session, record.command.command_id] = recording
        await asyncio.shield(recording)
        return record

    async def _put_on_record(self, session: Session, record: CommandRecord) -> None:
        try:
            await self.keeper.require(session)
            await self.store.put_command(record)
        except StoreWriteError as error:
            session.commands.withdraw(record)
            raise RefusedError(
                Status.UNAVAILABLE,
                f"the command cannot be put on record, so it was not sent: {error.reason}",
            ) from None
        finally:
            del self._recording[session, record.command.command_id]
        session.commands.announce(record)
        session.send_recorded(record)

    def watch_list(self) -> ListWatcher:
        """Return a new viewer of the list of sessions; :meth:`detach` it at its end."""
        watcher = ListWatcher(self.registry, self.clock)
        self.watchlist.add(watcher)
        self.attach(watcher)
        return watcher

    def attach(self, outlet: Outlet) -> None:
        """Take note of an endless stream, to end it when the monitor closes."""
        self._outlets[outlet] = None
        self._no_streams.clear()
        if self.closing:
            self._say_goodbye(outlet)

    def detach(self, outlet: Outlet) -> None:
        """An endless stream is gone."""
        self._outlets.pop(outlet, None)
        if not self._outlets:
            self._no_streams.set()
        if isinstance(outlet, ListWatcher):
            self.watchlist.remove(outlet)

    async def delete(self, session: Session) -> None:
        """Forget a session; return when the store has let it go.

        Raises:
            RefusedError: FAILED_PRECONDITION while it is live, UNAVAILABLE where the store cannot
                be written.
        """
        if not self.registry.is_deletable(session):
            raise RefusedError(
                Status.FAILED_PRECONDITION,
                f"session {session.id} is live: stop the training first (a session whose link is "
                f"lost can be deleted after {self.settings.pause_orphan_timeout_s:g} s)",
            )
        # Whoever asks may go meanwhile: what the store has let go is listed no longer.
        await asyncio.shield(self._unfinished.promise(self._forget(session), "DeleteSession"))

    async def _forget(self, session: Session) -> None:
        try:
            await self.keeper.forget(session)
        except StoreWriteError as error:
            raise RefusedError(
                Status.UNAVAILABLE, f"session {session.id} cannot be deleted: {error.reason}"
            ) from None
        if self.registry.get(session.id) is session:  # else somebody else was faster
            self.registry.forget(session)

    # What happens in sessions: SessionObserver.

    def summary_changed(self, session: Session) -> None:
        """Rates or progress of a session are others now."""
        if self.registry.get(session.id) is session:  # the last viewer of a deleted one leaves late
            self.watchlist.changed(session.id)
            self.keeper.changed(session)

    def state_changed(self, session: Session) -> None:
        """A session registered, does something else now, or ended."""
        if self.registry.get(session.id) is not session:
            return
        self.watchlist.changed(session.id)
        self._keep_alive(session)
        self.keeper.put_soon(session)
        if self.plugins is not None:
            summary = summarise(session, self.clock.wall_ms())
            self.plugins.monitor_session_changed(session.id, summary)

    def command_changed(self, record: CommandRecord) -> None:
        """A command entered another state."""
        self.keeper.put_command(record)
        if self.plugins is not None:
            self.plugins.monitor_command_changed(record)

    def error_noted(self, session: Session, error: ErrorResponse) -> None:
        """An error was told to viewers."""
        if self.registry.get(session.id) is session:
            self.keeper.put_error(session.id, error)

    def send_command(self, link: TrainerLink, record: CommandRecord) -> None:
        """A command is to go to a training."""
        self.keeper.send_command(link, record)

    def _asleep(self, session: Session) -> None:
        self.keeper.put_soon(session, registration=True)

    def _forgotten(self, session: Session) -> None:
        reason = self.registry.unknown(session.id)
        session.hub.end(Status.NOT_FOUND, reason)
        for producer in session.producers.values():
            if producer.link is not None:
                producer.link.fail(ErrorCode.ERROR_CODE_UNKNOWN_SESSION, reason)
        self.watchlist.removed([session.id])
        self.keeper.drop(session)
        if not self.store.durable:  # a durable one has let it go before
            self.keeper.later(self.store.forget(session.id))

    # Time.

    def tick(self) -> None:
        """Look at what only time changes; call it every TICK_S."""
        for link in tuple(self._links):
            error = link.watch()
            if error is not None and link.session is not None and link.producer is not None:
                link.session.note_error(error)
                if link.over:
                    link.session.link_closed(link.producer, link)
        for session in self.registry.sessions.values():
            self._guarded(session.check)
        self._guarded(self.keeper.tick)
        now = self.clock.monotonic()
        if now - self._keep_alive_at >= KEEP_ALIVE_S - TICK_S / 2:
            self._keep_alive_at = now
            self.watchlist.each(ListWatcher.ping)
            for session in self.registry.sessions.values():
                self._guarded(partial(self._keep_alive, session))

    def _guarded(self, look_after: Callable[[], None]) -> None:
        """Look after one thing; what cannot be looked after must not end the care for all."""
        try:
            look_after()
        except Exception:  # noqa: BLE001 - see above; counted
            self.failed_checks += 1
            _log.exception("looking after a session failed")

    def _keep_alive(self, session: Session) -> None:
        if session.hub.viewers:
            message = keep_alive(session, self.clock.wall_ms())
            session.hub.keep_alive(message.SerializeToString())

    # The end.

    def close(self) -> None:
        """End every endless stream, and every one opened from now on, with UNAVAILABLE."""
        self.closing = True
        for outlet in tuple(self._outlets):
            self._say_goodbye(outlet)

    def _say_goodbye(self, outlet: Outlet) -> None:
        outlet.end(Status.UNAVAILABLE, "the monitor is shutting down: connect again later")

    async def wait_for_streams(self, timeout_s: float) -> None:
        """Wait until every endless stream has ended, or the timeout has passed."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._no_streams.wait(), timeout_s)

    async def wait_for_store(self) -> None:
        """Wait until the store has written what was given to it."""
        await self._unfinished.wait()
        await self.keeper.finish()
