"""Viewers of the list of sessions: all at once, then what changes, a few times a second."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from trainmon.monitor.clock import Clock
from trainmon.monitor.outlet import Outlet
from trainmon.v1.dashboard_pb2 import SessionSummary, WatchSessionsResponse

__all__ = ["ListWatcher", "Watchlist"]

#: Least time between two messages with changes, in seconds.
_EVERY_S = 0.25
#: What is told in one message, in bytes; the rest of a long list follows in the next ones.
_MESSAGE_BYTES = 1 << 20


class SessionList(Protocol):
    """Every session there is."""

    def newest_first(self) -> list[str]:
        """Return the id of every session."""

    def summary(self, session_id: str, now_ms: int) -> SessionSummary:
        """Return how a session is."""


class ListWatcher(Outlet):
    """One WatchSessions stream. Holds names only, so it is bounded by the number of sessions.

    Args:
        sessions: Every session there is.
        clock: The clocks.
    """

    def __init__(self, sessions: SessionList, clock: Clock) -> None:
        super().__init__()
        self._sessions = sessions
        self._clock = clock
        self._changed: dict[str, None] = {}
        self._removed: dict[str, None] = {}
        self._reset = True
        self._ping = False
        self._due = 0.0

    def changed(self, session_id: str) -> None:
        """A session's summary is another now."""
        if session_id not in self._changed:
            self._changed[session_id] = None
            self._removed.pop(session_id, None)
            self.wake()

    def removed(self, session_id: str) -> None:
        """A session was forgotten."""
        self._changed.pop(session_id, None)
        self._removed[session_id] = None
        self.wake()

    def ping(self) -> None:
        """Say that the link lives."""
        self._ping = True
        self.wake()

    def take(self, now: float) -> bytes | None:
        """Return the whole list, what has changed, or an empty message."""
        now_ms = self._clock.wall_ms()
        message = WatchSessionsResponse(timestamp_ms=now_ms)
        if self._reset:
            message.reset, self._reset = True, False
            self._changed = dict.fromkeys(self._sessions.newest_first())
            self._removed.clear()
        elif not ((self._changed or self._removed) and now >= self._due):
            ping, self._ping = self._ping, False
            return message.SerializeToString() if ping else None
        message.removed_session_ids.extend(self._removed)
        self._removed.clear()
        size = 0
        while self._changed and size < _MESSAGE_BYTES:
            session_id = next(iter(self._changed))
            del self._changed[session_id]
            summary = self._sessions.summary(session_id, now_ms)
            size += summary.ByteSize()
            message.sessions.append(summary)
        self._ping = False
        self._due = now if self._changed else now + _EVERY_S
        return message.SerializeToString()

    def next_due(self) -> float | None:
        """Return when what has changed may be told."""
        return self._due if self._changed or self._removed else None


class Watchlist:
    """Every viewer of the list."""

    def __init__(self) -> None:
        self._watchers: dict[ListWatcher, None] = {}

    def add(self, watcher: ListWatcher) -> None:
        """Add a viewer."""
        self._watchers[watcher] = None

    def remove(self, watcher: ListWatcher) -> None:
        """Remove a viewer."""
        self._watchers.pop(watcher, None)

    def each(self, tell: Callable[[ListWatcher], None]) -> None:
        """Tell every viewer."""
        for watcher in tuple(self._watchers):
            tell(watcher)

    def changed(self, session_id: str) -> None:
        """A session's summary is another now."""
        for watcher in self._watchers:
            watcher.changed(session_id)

    def removed(self, session_ids: Iterable[str]) -> None:
        """Sessions were forgotten."""
        for session_id in session_ids:
            for watcher in self._watchers:
                watcher.removed(session_id)
