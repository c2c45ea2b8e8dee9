"""DashboardService as the gateway serves it: calls passed on, streams shared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf.message import DecodeError
from grpclib.const import Status

from trainmon.config import Settings
from trainmon.tasks import Tasks
from trainmon.v1 import dashboard_pb2
from trainmon.v1.dashboard_pb2 import WatchSessionRequest
from trainmon_gateway.errors import CallError
from trainmon_gateway.frames import Frame
from trainmon_gateway.grpc_web import CallContext, StreamHandler, UnaryHandler, handlers_of
from trainmon_gateway.list_feed import ListFeed
from trainmon_gateway.session_feed import SessionFeed
from trainmon_gateway.upstream import SERVICE, Upstream
from trainmon_gateway.viewer import Demand, Viewer

__all__ = ["DashboardService"]

#: How long a unary call may take where the viewer does not say, in seconds.
CALL_TIMEOUT_S = 30.0
#: Unary calls in flight at once; more are refused, so that a hung monitor costs bounded memory.
MAX_CALLS = 64
#: Calls that change something: once passed on they are carried through, though the viewer left.
_CHANGING = frozenset({"SendCommand", "DeleteSession"})
#: Share of a viewer's queue that past events may take when it joins.
_LOG_SHARE = 4


class DashboardService:
    """Handlers for every method of the service.

    Args:
        upstream: The monitor.
        settings: Limits.
    """

    def __init__(self, upstream: Upstream, settings: Settings) -> None:
        self._upstream = upstream
        self._settings = settings
        self._tasks = Tasks()
        self._sessions: dict[str, SessionFeed] = {}
        self._list: ListFeed | None = None
        self._streams = 0
        self._calls = 0

    def handlers(self) -> Any:
        """Return the handlers for a :class:`~trainmon_gateway.grpc_web.GrpcWebServer`."""
        service = dashboard_pb2.DESCRIPTOR.services_by_name["DashboardService"]
        streams: dict[str, StreamHandler] = {
            "WatchSession": self.watch_session,
            "WatchSessions": self.watch_sessions,
        }
        unary = {each.name: self._passing(each.name) for each in service.methods}
        return handlers_of(SERVICE, {k: v for k, v in unary.items() if k not in streams}, streams)

    async def close(self) -> None:
        """End the streams to the monitor; the viewers' have been ended."""
        await self._tasks.close()

    def numbers(self) -> dict[str, int]:
        """Return what is going on, for the health page."""
        return {"streams": self._streams, "sessions_watched": len(self._sessions)}

    def _passing(self, name: str) -> UnaryHandler:
        async def call(request: bytes, context: CallContext) -> bytes:
            return await self._call(name, request, context)

        return call

    async def _call(self, name: str, request: bytes, context: CallContext) -> bytes:
        if self._calls >= MAX_CALLS:
            raise CallError(
                Status.RESOURCE_EXHAUSTED,
                f"{self._calls} calls wait for the monitor, the limit is {MAX_CALLS}: try again",
            )
        granted = context.time_remaining()
        timeout = CALL_TIMEOUT_S if granted is None else min(granted, CALL_TIMEOUT_S)
        work = self._counted(self._upstream.call(name, request, timeout))
        task = self._tasks.start(work, f"trainmon-{name}")
        if name in _CHANGING:
            return bytes(await asyncio.shield(task))
        try:
            return bytes(await task)
        finally:
            task.cancel()

    async def _counted(self, call: Any) -> bytes:
        self._calls += 1
        try:
            return bytes(await call)
        finally:
            self._calls -= 1

    async def watch_session(self, request: bytes, _: CallContext) -> AsyncIterator[Frame]:
        """Stream one session."""
        wanted = _parsed(request)
        with self._viewer(Demand(wanted.frames_per_second, wanted.tile_size)) as viewer:
            feed = self._session_feed(wanted.session_id)
            feed.attach(viewer, wanted.resume_cursor)
            try:
                async for each in viewer.frames():
                    yield each
            finally:
                feed.detach(viewer)

    async def watch_sessions(self, _request: bytes, _: CallContext) -> AsyncIterator[Frame]:
        """Stream the list of sessions."""
        with self._viewer(Demand(-1)) as viewer:
            if self._list is None:
                self._list = ListFeed(self._upstream, self._tasks, self._forget_list)
            feed = self._list
            feed.attach(viewer)
            try:
                async for each in viewer.frames():
                    yield each
            finally:
                feed.detach(viewer)

    @contextmanager
    def _viewer(self, demand: Demand) -> Iterator[Viewer]:
        limit = self._settings.max_viewer_streams
        if self._streams >= limit:
            raise CallError(
                Status.RESOURCE_EXHAUSTED,
                f"{self._streams} streams are open, the limit is {limit}: close pages, or raise "
                "TRAINMON_MAX_VIEWER_STREAMS at the gateway",
            )
        self._streams += 1
        try:
            yield Viewer(demand, self._settings.viewer_queue_bytes)
        finally:
            self._streams -= 1

    def _session_feed(self, session_id: str) -> SessionFeed:
        feed = self._sessions.get(session_id)
        if feed is None:
            feed = SessionFeed(
                self._upstream,
                self._tasks,
                session_id,
                self._settings.viewer_queue_bytes // _LOG_SHARE,
                lambda: self._forget_session(session_id),
            )
            self._sessions[session_id] = feed
        return feed

    def _forget_session(self, session_id: str) -> None:
        self._sessions.pop(session_id, None)

    def _forget_list(self) -> None:
        self._list = None


def _parsed(request: bytes) -> WatchSessionRequest:
    try:
        return WatchSessionRequest.FromString(request)
    except DecodeError:
        raise CallError(
            Status.INVALID_ARGUMENT, "the request is no WatchSessionRequest: mend the client"
        ) from None
