"""The list of sessions as the monitor streams it, shared by all who watch it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

from google.protobuf.message import DecodeError
from grpclib.const import Status

from trainmon.tasks import Tasks
from trainmon.v1.dashboard_pb2 import (
    SessionSummary,
    WatchSessionsRequest,
    WatchSessionsResponse,
)
from trainmon_gateway.errors import CallError
from trainmon_gateway.frames import Frame, frame
from trainmon_gateway.upstream import Upstream
from trainmon_gateway.viewer import Viewer

__all__ = ["ListFeed"]

_log = logging.getLogger(__name__)

#: How long the stream is kept for the next viewer, in seconds.
LINGER_S = 2.0


class ListFeed:
    """Streams the list of sessions to any number of viewers, from one stream of the monitor.

    Args:
        upstream: The monitor.
        tasks: Where the stream's task runs.
        on_end: Called once when the feed has ended and takes no more viewers.
    """

    def __init__(self, upstream: Upstream, tasks: Tasks, on_end: Callable[[], None]) -> None:
        self._upstream = upstream
        self._on_end = on_end
        self._viewers: set[Viewer] = set()
        self._sessions: dict[str, SessionSummary] | None = None
        self._timestamp_ms = 0
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self._reader = tasks.start(self._read(), "trainmon-session-list")
        self._reader.add_done_callback(self._reader_ended)

    @property
    def viewers(self) -> int:
        """How many watch."""
        return len(self._viewers)

    def attach(self, viewer: Viewer) -> None:
        """Let a viewer watch: the whole list, as soon as it is known, then each change."""
        self._viewers.add(viewer)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sessions is not None:
            viewer.push(self._whole(self._sessions))

    def detach(self, viewer: Viewer) -> None:
        """Forget a viewer that has left."""
        self._viewers.discard(viewer)
        if not self._viewers and not self._ended:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(LINGER_S, self.end, None)

    def end(self, error: CallError | None) -> None:
        """End the stream, and every viewer with this error or well."""
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._reader.cancel()
        for viewer in self._viewers:
            viewer.end(error)
        self._on_end()

    async def _read(self) -> None:
        request = WatchSessionsRequest().SerializeToString()
        async with aclosing(self._upstream.stream("WatchSessions", request)) as messages:
            async for message in messages:
                self._take(message)

    def _take(self, message: bytes) -> None:
        try:
            response = WatchSessionsResponse.FromString(message)
        except DecodeError:
            raise CallError(
                Status.INTERNAL,
                "the monitor sent what is no WatchSessionsResponse: update both ends",
            ) from None
        first = self._sessions is None
        sessions = {} if self._sessions is None or response.reset else self._sessions
        sessions.update((each.session_id, each) for each in response.sessions)
        for session_id in response.removed_session_ids:
            sessions.pop(session_id, None)
        self._sessions, self._timestamp_ms = sessions, response.timestamp_ms
        framed = self._whole(sessions) if first else frame(message)
        for viewer in self._viewers:
            viewer.push(framed)

    def _whole(self, sessions: dict[str, SessionSummary]) -> Frame:
        newest_first = sorted(sessions.values(), key=lambda each: each.started_ms, reverse=True)
        response = WatchSessionsResponse(
            timestamp_ms=self._timestamp_ms, sessions=newest_first, reset=True
        )
        return frame(response.SerializeToString())

    def _reader_ended(self, task: asyncio.Task[None]) -> None:
        if self._ended:
            if not task.cancelled():
                task.exception()  # seen: the cancellation was turned into it
            return
        if task.cancelled():
            self.end(CallError(Status.UNAVAILABLE, "the gateway is shutting down"))
            return
        error = task.exception()
        if error is not None and not isinstance(error, CallError):
            _log.error("the feed of the session list failed", exc_info=error)
            error = CallError(Status.INTERNAL, "the gateway failed: its log says where")
        self.end(error)
