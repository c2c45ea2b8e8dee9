"""Brings to the store what nobody waits for: sessions as they change, commands, errors.

What cannot be written is tried again; of one thing only the newest state waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from grpclib.const import Status

from trainmon.monitor.revival import record_of
from trainmon.monitor.store.base import Store, StoreWriteError
from trainmon.v1.control_pb2 import CommandRecord, CommandState
from trainmon.v1.telemetry_pb2 import ErrorResponse

if TYPE_CHECKING:
    from trainmon.monitor.clock import Clock
    from trainmon.monitor.link import TrainerLink
    from trainmon.monitor.session import Session

__all__ = ["SESSION_EVERY_S", "Keeper"]

#: How often what changes all the time (rates, progress, last seen) is put on record, in seconds.
SESSION_EVERY_S = 5.0
#: How often writing is tried again after it failed, in seconds.
_AGAIN_EVERY_S = 1.0

_log = logging.getLogger(__name__)


class Keeper:
    """Belongs to one event loop.

    Args:
        store: Where history is kept.
        clock: The clocks.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed: dict[Session, bool] = {}
        self._writing: set[Session] = set()
        self._commands: dict[tuple[str, str], CommandRecord] = {}
        self._leaving: set[str] = set()
        self._held_back: dict[TrainerLink, None] = {}
        self._sessions_at = self._again_at = clock.monotonic()
        self.failures = 0
        """How often something could not be written."""

    # Sessions.

    def changed(self, session: Session, *, registration: bool = False) -> None:
        """Take note that what is known of a session has changed; it is written within seconds."""
        if self._store.durable and session.id not in self._leaving:
            self._changed[session] = registration or self._changed.get(session, False)

    def put_soon(self, session: Session, *, registration: bool = False) -> None:
        """Write a session as it is now."""
        if self._store.durable:
            self.changed(session, registration=registration)
            if session not in self._writing:
                self._writing.add(session)
                self.later(self._put(session))

    async def put(self, session: Session) -> None:
        """Write a session, all of it; return when it is written or could not be."""
        if self._store.durable:
            self.changed(session, registration=True)
            await self._put(session)

    async def require(self, session: Session) -> None:
        """See to it that a session is on record before anything of it is.

        Raises:
            StoreWriteError: It is not, and cannot be put there now, or is being deleted.
        """
        if session.id in self._leaving:
            raise StoreWriteError("the session is being deleted")
        if self._store.durable and not session.is_on_record:
            await self._write(session, registration=True)

    def drop(self, session: Session) -> None:
        """Write no more of a session: it is forgotten."""
        self._changed.pop(session, None)
        for key in [key for key in self._commands if key[0] == session.id]:
            del self._commands[key]

    async def forget(self, session: Session) -> None:
        """Let the store drop a session, and write nothing of it meanwhile: it would be back.

        Raises:
            StoreWriteError: It cannot be dropped now.
        """
        self.drop(session)
        self._leaving.add(session.id)
        try:
            await self._store.forget(session.id)
        finally:
            self._leaving.discard(session.id)

    async def _put(self, session: Session) -> None:
        registration = self._changed.pop(session, None)
        self._writing.discard(session)
        if registration is None:
            return  # written or dropped meanwhile
        try:
            await self._write(session, registration=registration)
        except StoreWriteError:
            self.failures += 1
            self.changed(session, registration=registration)

    async def _write(self, session: Session, *, registration: bool) -> None:
        now_ms = self._clock.wall_ms()
        await self._store.put_session(record_of(session, now_ms, registration=registration))
        session.is_on_record |= registration

    # Commands and errors.

    def put_command(self, record: CommandRecord) -> None:
        """Write the present state of a command."""
        key = (record.session_id, record.command.command_id)
        if key not in self._commands and record.session_id not in self._leaving:
            self._commands[key] = record
            self.later(self._put_command(key))

    async def _put_command(self, key: tuple[str, str]) -> None:
        record = self._commands.pop(key, None)
        if record is None:
            return
        try:
            await self._store.put_command(record)
        except StoreWriteError:
            self.failures += 1
            self._commands.setdefault(key, record)

    def send_command(self, link: TrainerLink, record: CommandRecord) -> None:
        """Send a command, once it is on record that it may have been sent."""
        if self._store.durable:
            self.later(self._send(link, record))
        else:
            link.command(record.command.command_id)

    async def _send(self, link: TrainerLink, record: CommandRecord) -> None:
        sent = CommandRecord()
        sent.CopyFrom(record)
        if sent.state == CommandState.COMMAND_STATE_RECORDED:
            now_ms = self._clock.wall_ms()
            sent.state = sent.result.state = CommandState.COMMAND_STATE_SENT
            sent.transitions.add(state=sent.state, timestamp_ms=now_ms)
            try:
                await self._store.put_command(sent)
            except StoreWriteError:
                self.failures += 1  # it is on record as given; that it went will be, later
        link.command(record.command.command_id)

    def put_error(self, session_id: str, error: ErrorResponse) -> None:
        """Write an error."""
        if self._store.durable and session_id not in self._leaving:
            self.later(self._put_error(session_id, error))

    async def _put_error(self, session_id: str, error: ErrorResponse) -> None:
        try:
            await self._store.put_error(session_id, error)
        except StoreWriteError:
            self.failures += 1

    # Trouble.

    def hold_back(self, link: TrainerLink) -> None:
        """Take note of a stream whose records cannot be kept now; it is ended when they can."""
        self._held_back[link] = None

    def tick(self) -> None:
        """Write what has waited, and try again what failed; call it a few times a second."""
        now = self._clock.monotonic()
        if now - self._sessions_at >= SESSION_EVERY_S:
            self._sessions_at = now
            for session in tuple(self._changed):
                self.put_soon(session)
        if now - self._again_at >= _AGAIN_EVERY_S and not self._tasks:
            self._again_at = now
            for key in tuple(self._commands):
                self.later(self._put_command(key))
            if self._held_back:
                self.later(self._try_again())

    async def _try_again(self) -> None:
        if not await self._store.try_write():
            return
        held_back, self._held_back = self._held_back, {}
        for link in held_back:
            link.end(Status.UNAVAILABLE, "the history can be written again: open the stream again")

    # In the background.

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something be written that nobody waits for."""
        task = asyncio.get_running_loop().create_task(self._guarded(work), name="trainmon store")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001 - a store of any make; counted, and nobody waits for it
            self.failures += 1
            _log.exception("the store failed")

    async def wait(self) -> None:
        """Return when everything given so far is written or could not be."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def finish(self) -> None:
        """Write what has changed since it was last written."""
        for session in tuple(self._changed):
            self.put_soon(session)
        await self.wait()
