"""Every session there is: how they come to be, are found, sleep, and are forgotten."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from itertools import count

from grpclib.const import Status

from trainmon.config import Settings
from trainmon.monitor.clock import Clock
from trainmon.monitor.details import MAX_REGISTRATION_BYTES
from trainmon.monitor.refusal import RefusedError
from trainmon.monitor.revival import revive
from trainmon.monitor.session import Session, SessionObserver
from trainmon.monitor.store.base import Store
from trainmon.monitor.summaries import summarise
from trainmon.v1.dashboard_pb2 import SessionState, SessionSummary
from trainmon.v1.telemetry_pb2 import RegisterTrainingSessionRequest

__all__ = ["PROTOCOL_VERSION", "Registry"]

#: The one version of the protocol there is.
PROTOCOL_VERSION = 1
#: Characters of a name. Names are in every line of every list.
_MAX_NAME = 256
_NAMES = (
    "run_key",
    "producer_id",
    "session_name",
    "framework",
    "framework_version",
    "hostname",
)
#: Events of one monitor are fewer than these bits count.
_GENERATION_BITS = 48
#: Sessions that may be live are in memory from the start, the newest of them.
_WOKEN = 200
_SESSION_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Registry:
    """Every session, the newest last: those that anything may happen to, and the names of all.

    What has ended and is not looked at sleeps in a durable store, and wakes when it is asked for.

    Args:
        settings: The monitor's settings.
        clock: The clocks.
        store: Where history is kept.
        observer: Who is told what happens in every session.
        on_forgotten: Called with each session that was forgotten.
        on_asleep: Called with each session that leaves memory and goes on in the store.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        store: Store,
        observer: SessionObserver,
        on_forgotten: Callable[[Session], None],
        on_asleep: Callable[[Session], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._store = store
        self._observer = observer
        self._on_forgotten = on_forgotten
        self._on_asleep = on_asleep
        self._sessions: dict[str, Session] = {}
        self._known: dict[str, SessionSummary | None] = {}
        self._by_run_key: dict[str, str] = {}
        self._waking = asyncio.Lock()
        # What an earlier monitor counted is left behind.
        self._counter = count(store.generation << _GENERATION_BITS | 1)

    @property
    def sessions(self) -> Mapping[str, Session]:
        """Those in memory, by id."""
        return self._sessions

    async def load(self) -> None:
        """Take over the sessions of earlier monitors; those that may be live are woken."""
        listed = await self._store.sessions()
        for each in listed:
            summary = each.summary
            if not summary.HasField("ended_ms"):
                summary.state = SessionState.SESSION_STATE_LINK_LOST
            self._known[summary.session_id] = summary
            if each.run_key:
                self._by_run_key[each.run_key] = summary.session_id
        lost = [each.summary for each in listed if not each.summary.HasField("ended_ms")]
        lost.sort(key=lambda summary: summary.last_seen_ms)
        for summary in lost[-min(_WOKEN, self._settings.max_sessions) :]:
            await self.find(summary.session_id)

    def newest_first(self) -> list[str]:
        """Return the id of every session."""
        return list(self._known)[::-1]

    def summary(self, session_id: str, now_ms: int) -> SessionSummary:
        """Return how a session is, which is known here."""
        session = self._sessions.get(session_id)
        if session is not None:
            return summarise(session, now_ms)
        summary = SessionSummary(session_id=session_id)
        asleep = self._known.get(session_id)
        if asleep is not None:
            summary.CopyFrom(asleep)
        summary.timestamp_ms = now_ms
        return summary

    def get(self, session_id: str) -> Session | None:
        """Return a session that is in memory; None where there is none."""
        return self._sessions.get(session_id)

    async def find(self, session_id: str) -> Session | None:
        """Return a session, waking it if need be; None where there is none."""
        if session_id not in self._known:
            return None
        async with self._waking:
            session = self._sessions.get(session_id)
            return session if session is not None else await self._wake(session_id)

    async def require(self, session_id: str) -> Session:
        """Return a session, waking it if need be.

        Raises:
            RefusedError: NOT_FOUND.
        """
        session = await self.find(session_id)
        if session is None:
            raise RefusedError(Status.NOT_FOUND, self.unknown(session_id))
        return session

    def unknown(self, session_id: str) -> str:
        """Return what to say of a session that is not known."""
        return (
            f"there is no session {session_id[:128]!r}: it was never registered here, or was "
            "deleted, or the monitor that knew it kept its history in memory"
        )

    async def enter(self, request: RegisterTrainingSessionRequest) -> Session:
        """Return the session a registration belongs to, a new one if need be.

        Raises:
            RefusedError: FAILED_PRECONDITION for another protocol version, INVALID_ARGUMENT for
                a bad field, RESOURCE_EXHAUSTED where there is no room for another session.
        """
        _check(request)
        known = self._by_run_key.get(request.run_key) if request.run_key else None
        session = await self.find(known) if known is not None else None
        if session is None and request.session_id:
            session = await self.find(request.session_id)
            if session is not None:
                _check_same_run(session, request)
        return session or self._create(request)

    def forget(self, session: Session) -> None:
        """Remove a session."""
        del self._sessions[session.id]
        del self._known[session.id]
        run_key = session.registration.run_key
        if self._by_run_key.get(run_key) == session.id:
            del self._by_run_key[run_key]
        self._on_forgotten(session)

    def is_deletable(self, session: Session) -> bool:
        """Return whether a session has ended, never began, or was lost too long to come back."""
        patience_s = self._settings.pause_orphan_timeout_s
        if not session.was_linked:
            patience_s = self._settings.heartbeat_timeout_ms / 1000
        return session.ended or session.unlinked_for() > patience_s

    def _create(self, request: RegisterTrainingSessionRequest) -> Session:
        if not self._make_room():
            raise RefusedError(
                Status.RESOURCE_EXHAUSTED,
                f"{len(self._sessions)} sessions are live, which is the limit "
                "(TRAINMON_MAX_SESSIONS): raise it, or end some",
            )
        session_id = request.session_id or secrets.token_hex(8)
        session = self._new(session_id, secrets.token_hex(4))
        session.registration.run_key = request.run_key
        session.registration.session_id = session_id
        self._sessions[session_id] = session
        self._known[session_id] = None
        if request.run_key:
            self._by_run_key[request.run_key] = session_id
        return session

    def _new(self, session_id: str, incarnation: str) -> Session:
        return Session(
            session_id,
            self._settings,
            self._clock,
            f"{self._store.identity}-{incarnation}",
            self._observer,
            incarnation,
            self._counter,
        )

    async def _wake(self, session_id: str) -> Session | None:
        stored = await self._store.load(session_id)
        if stored is None or session_id not in self._known:
            return None
        self._make_room()  # who looks at a run of long ago is not refused for the live ones
        session = self._new(session_id, stored.record.incarnation)
        self._sessions[session_id] = session
        self._known[session_id] = None
        revive(session, stored, self._settings, self._clock)
        return session

    def _make_room(self) -> bool:
        """Let sessions that nothing happens to leave memory; return whether there is room."""
        while len(self._sessions) >= self._settings.max_sessions:
            oldest = next(filter(self._may_leave, self._sessions.values()), None)
            if oldest is None:
                return False
            if self._store.durable:
                self._known[oldest.id] = summarise(oldest, self._clock.wall_ms())
                del self._sessions[oldest.id]
                self._on_asleep(oldest)
            else:
                self.forget(oldest)
        return True

    def _may_leave(self, session: Session) -> bool:
        return self.is_deletable(session) and (session.is_idle or not self._store.durable)


def _check(request: RegisterTrainingSessionRequest) -> None:
    version = request.protocol_version if request.HasField("protocol_version") else 1
    if version != PROTOCOL_VERSION:
        raise RefusedError(
            Status.FAILED_PRECONDITION,
            f"the training speaks protocol version {version}, this monitor speaks version "
            f"{PROTOCOL_VERSION}: install matching versions of trainmon at both ends",
        )
    for name in _NAMES:
        length = len(getattr(request, name))
        if length > _MAX_NAME:
            raise _invalid(f"{name} has {length} characters, the limit is {_MAX_NAME}")
    if request.ByteSize() > MAX_REGISTRATION_BYTES:
        raise _invalid(
            f"the registration has {request.ByteSize()} bytes, the limit is "
            f"{MAX_REGISTRATION_BYTES}: send fewer or shorter hyperparameters and class names"
        )
    if request.session_id and not _SESSION_ID.fullmatch(request.session_id):
        raise _invalid(
            f"session_id is {request.session_id[:64]!r}, but should be 1 to 128 letters, digits, "
            "dots, hyphens or underscores: send what SessionResponse said, or leave it empty"
        )
    if request.rank >= max(request.world_size, 1):
        raise _invalid(
            f"rank is {request.rank}, but should be less than world_size, {request.world_size}"
        )


def _check_same_run(session: Session, request: RegisterTrainingSessionRequest) -> None:
    if request.run_key and session.registration.run_key not in {"", request.run_key}:
        raise _invalid(
            f"session {session.id} belongs to another run_key: leave session_id empty to make a "
            "new session"
        )


def _invalid(reason: str) -> RefusedError:
    return RefusedError(Status.INVALID_ARGUMENT, reason)
