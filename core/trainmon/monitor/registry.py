"""Every session there is: how they come to be, are found, and are forgotten."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping

from grpclib.const import Status

from trainmon.config import Settings
from trainmon.monitor.clock import Clock
from trainmon.monitor.details import MAX_REGISTRATION_BYTES
from trainmon.monitor.refusal import RefusedError
from trainmon.monitor.session import Session, SessionObserver
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
_SESSION_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Registry:
    """Sessions by id, the newest last.

    Args:
        settings: The monitor's settings.
        clock: The clocks.
        store_identity: Names the store, for cursors.
        observer: Who is told what happens in every session.
        on_forgotten: Called with each session that was forgotten.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        store_identity: str,
        observer: SessionObserver,
        on_forgotten: Callable[[Session], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._store_identity = store_identity
        self._observer = observer
        self._on_forgotten = on_forgotten
        self._sessions: dict[str, Session] = {}
        self._by_run_key: dict[str, Session] = {}

    @property
    def sessions(self) -> Mapping[str, Session]:
        """Every session, by id."""
        return self._sessions

    def newest_first(self) -> list[Session]:
        """Return every session."""
        return list(self._sessions.values())[::-1]

    def get(self, session_id: str) -> Session | None:
        """Return a session; None where there is none."""
        return self._sessions.get(session_id)

    def require(self, session_id: str) -> Session:
        """Return a session.

        Raises:
            RefusedError: NOT_FOUND.
        """
        session = self._sessions.get(session_id)
        if session is None:
            raise RefusedError(Status.NOT_FOUND, self.unknown(session_id))
        return session

    def unknown(self, session_id: str) -> str:
        """Return what to say of a session that is not known."""
        return (
            f"there is no session {session_id[:128]!r}: it was never registered here, or was "
            "deleted, or the monitor was restarted since"
        )

    def enter(self, request: RegisterTrainingSessionRequest) -> Session:
        """Return the session a registration belongs to, a new one if need be.

        Raises:
            RefusedError: FAILED_PRECONDITION for another protocol version, INVALID_ARGUMENT for
                a bad field, RESOURCE_EXHAUSTED where there is no room for another session.
        """
        _check(request)
        session = self._by_run_key.get(request.run_key) if request.run_key else None
        if session is None and request.session_id:
            session = self._sessions.get(request.session_id)
            if session is not None:
                _check_same_run(session, request)
        return session or self._create(request)

    def forget(self, session: Session) -> None:
        """Remove a session."""
        del self._sessions[session.id]
        run_key = session.registration.run_key
        if self._by_run_key.get(run_key) is session:
            del self._by_run_key[run_key]
        self._on_forgotten(session)

    def is_deletable(self, session: Session) -> bool:
        """Return whether a session has ended, never began, or was lost too long to come back."""
        patience_s = self._settings.pause_orphan_timeout_s
        if not session.was_linked:
            patience_s = self._settings.heartbeat_timeout_ms / 1000
        return session.ended or session.unlinked_for() > patience_s

    def _create(self, request: RegisterTrainingSessionRequest) -> Session:
        self._make_room()
        session_id = request.session_id or secrets.token_hex(8)
        identity = f"{self._store_identity}-{secrets.token_hex(4)}"
        session = Session(session_id, self._settings, self._clock, identity, self._observer)
        session.registration.run_key = request.run_key
        session.registration.session_id = session_id
        self._sessions[session_id] = session
        if request.run_key:
            self._by_run_key[request.run_key] = session
        return session

    def _make_room(self) -> None:
        while len(self._sessions) >= self._settings.max_sessions:
            oldest = next(filter(self.is_deletable, self._sessions.values()), None)
            if oldest is None:
                raise RefusedError(
                    Status.RESOURCE_EXHAUSTED,
                    f"{len(self._sessions)} sessions are live, which is the limit "
                    "(TRAINMON_MAX_SESSIONS): raise it, or end some",
                )
            self.forget(oldest)


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
