"""DashboardService: viewers come in here. No rules of its own, they are the backend's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import Message
from grpclib.const import Status

from trainmon.monitor.answers import AnswerRoom
from trainmon.monitor.doors import answering_refusals, require_known_caller, run_outlet
from trainmon.monitor.framing import receive_request
from trainmon.monitor.past import past_events
from trainmon.monitor.refusal import RefusedError
from trainmon.monitor.store.base import AnswerTooLargeError, MetricsQuery
from trainmon.monitor.summaries import snapshot
from trainmon.monitor.viewer import Demand, Viewer
from trainmon.tasks import within
from trainmon.v1.dashboard_grpc import DashboardServiceBase
from trainmon.v1.dashboard_pb2 import (
    DeleteSessionRequest,
    DeleteSessionResponse,
    GetBatchRequest,
    GetBatchResponse,
    ListSessionsRequest,
    ListSessionsResponse,
    QueryEventsRequest,
    QueryEventsResponse,
    QueryMetricsRequest,
    QueryMetricsResponse,
    SendCommandRequest,
    WatchSessionRequest,
    WatchSessionResponse,
    WatchSessionsRequest,
    WatchSessionsResponse,
)

if TYPE_CHECKING:
    from grpclib.server import Stream

    from trainmon.monitor.backend import Backend
    from trainmon.monitor.session import Session
    from trainmon.v1.control_pb2 import CommandRecord

__all__ = ["MAX_ANSWER_BYTES", "DashboardService"]

#: Greatest answer to QueryMetrics, in bytes: every point of 2.5 million steps.
MAX_ANSWER_BYTES = 64 << 20
#: Most answers are smaller than this, and wait for no larger ones to be built or sent.
_SMALL_ANSWER_BYTES = 4 << 20
#: What the answers of either size take together, in bytes, until they are sent.
_ANSWERS_BYTES = 128 << 20
_MOST_WAITING = 256
#: How long a peer may take to read an answer, in seconds: it is in memory meanwhile.
_SEND_S = 60.0
#: Greatest answer to ListSessions, in bytes: the smallest limit in the way is 4 MiB.
_LIST_BYTES = 4_000_000
#: What a session takes in it beside its own bytes: the tag and the length.
_FIELD_BYTES = 6

_Request = TypeVar("_Request", bound=Message)


class DashboardService(DashboardServiceBase):
    """The service on grpclib.

    Args:
        backend: What it speaks for.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._limit_bytes = backend.settings.max_message_bytes
        self._rooms = [
            AnswerRoom(size, _ANSWERS_BYTES, _MOST_WAITING)
            for size in (_SMALL_ANSWER_BYTES, MAX_ANSWER_BYTES)
        ]

    async def ListSessions(  # noqa: N802 - the contract's name
        self, stream: Stream[ListSessionsRequest, ListSessionsResponse]
    ) -> None:
        """Answer with as many sessions as one answer holds, newest first."""
        request = await self._request(stream, ListSessionsRequest)
        with answering_refusals():
            response = self._list(request)
        await stream.send_message(response)

    def _list(self, request: ListSessionsRequest) -> ListSessionsResponse:
        registry = self._backend.registry
        ids = registry.newest_first()
        if request.after_session_id:
            if request.after_session_id not in ids:
                raise RefusedError(Status.NOT_FOUND, registry.unknown(request.after_session_id))
            ids = ids[ids.index(request.after_session_id) + 1 :]
        response = ListSessionsResponse(timestamp_ms=self._now())
        left_bytes = min(self._limit_bytes, _LIST_BYTES)
        for session_id in ids[: request.max_sessions or None]:
            summary = registry.summary(session_id, response.timestamp_ms)
            left_bytes -= summary.ByteSize() + _FIELD_BYTES
            if left_bytes < 0 and response.sessions:
                break
            response.sessions.append(summary)
        response.left_out = len(ids) - len(response.sessions)
        return response

    async def WatchSessions(  # noqa: N802 - the contract's name
        self, stream: Stream[WatchSessionsRequest, WatchSessionsResponse]
    ) -> None:
        """Send the list, then every change to it."""
        await self._request(stream, WatchSessionsRequest)
        watcher = self._backend.watch_list()
        try:
            await run_outlet(watcher, stream)
        finally:
            self._backend.detach(watcher)

    async def WatchSession(  # noqa: N802 - the contract's name
        self, stream: Stream[WatchSessionRequest, WatchSessionResponse]
    ) -> None:
        """Send one session as it is, then each event as it happens."""
        request = await self._request(stream, WatchSessionRequest)
        with answering_refusals():
            session = await self._backend.registry.require(request.session_id)
        viewer = session.hub.viewer(Demand.asked(request.frames_per_second, request.tile_size))
        self._show(session, viewer, request.resume_cursor)
        self._backend.attach(viewer)
        try:
            await run_outlet(viewer, stream)
        finally:
            self._backend.detach(viewer)
            session.hub.remove(viewer)

    def _show(self, session: Session, viewer: Viewer, cursor: str) -> None:
        hub = session.hub
        position = hub.known(cursor) if cursor else hub.position
        reset = position is None
        shot = snapshot(
            session, self._now(), reset=reset, picture=viewer.demand.frames_per_second > 0
        )
        hub.add(viewer, shot.SerializeToString(), hub.position if position is None else position)

    async def SendCommand(  # noqa: N802 - the contract's name
        self, stream: Stream[SendCommandRequest, CommandRecord]
    ) -> None:
        """Record a command and send it."""
        caller = require_known_caller(self._backend, stream)
        request = await receive_request(stream, SendCommandRequest, self._limit_bytes)
        if caller.name:  # who asked is what a plugin vouches for, not what they say themselves
            request.command.issued_by = caller.name
        with answering_refusals():
            session = await self._backend.registry.require(request.session_id)
            record = await self._backend.submit(session, request.command)
        await stream.send_message(record)

    async def QueryMetrics(  # noqa: N802 - the contract's name
        self, stream: Stream[QueryMetricsRequest, QueryMetricsResponse]
    ) -> None:
        """Answer with scalars, thinned."""
        request = await self._request(stream, QueryMetricsRequest)
        with answering_refusals():
            session = await self._backend.registry.require(request.session_id)
            for room in self._rooms:
                if await self._answered(stream, session, request, room):
                    return
            error = AnswerTooLargeError(MAX_ANSWER_BYTES)
            raise RefusedError(Status.RESOURCE_EXHAUSTED, str(error))

    async def _answered(
        self,
        stream: Stream[QueryMetricsRequest, QueryMetricsResponse],
        session: Session,
        request: QueryMetricsRequest,
        room: AnswerRoom,
    ) -> bool:
        """Answer, if a room holds the answer; what it takes is held until all of it is sent."""
        most_bytes = min(room.answer_bytes, MAX_ANSWER_BYTES)
        async with room.held() as built:
            try:
                response = await self._metrics(session, request, most_bytes)
            except AnswerTooLargeError:
                return False
            built(response.ByteSize())
            try:
                await within(_SEND_S, stream.send_message(response))
            except asyncio.TimeoutError:
                text = f"the answer was not read within {_SEND_S:g} s"
                raise RefusedError(Status.DEADLINE_EXCEEDED, text) from None
        return True

    async def _metrics(
        self, session: Session, request: QueryMetricsRequest, most_bytes: int
    ) -> QueryMetricsResponse:
        # Taken before the rows: what happens meanwhile is told again rather than not at all.
        cursor = session.hub.cursor
        series = await self._backend.store.metrics(session.id, _query(request, most_bytes))
        return QueryMetricsResponse(series=series, cursor=cursor, timestamp_ms=self._now())

    async def QueryEvents(  # noqa: N802 - the contract's name
        self, stream: Stream[QueryEventsRequest, QueryEventsResponse]
    ) -> None:
        """Answer with a page of epochs, commands, errors or states."""
        request = await self._request(stream, QueryEventsRequest)
        with answering_refusals():
            session = await self._backend.registry.require(request.session_id)
            response = await past_events(self._backend.store, session, request)
        response.timestamp_ms = self._now()
        await stream.send_message(response)

    async def GetBatch(  # noqa: N802 - the contract's name
        self, stream: Stream[GetBatchRequest, GetBatchResponse]
    ) -> None:
        """Answer with the key frame nearest a step."""
        request = await self._request(stream, GetBatchRequest)
        with answering_refusals():
            session = await self._backend.registry.require(request.session_id)
            batch = await self._backend.store.key_frame(session.id, request.step)
            if batch is None:
                raise RefusedError(
                    Status.NOT_FOUND, f"session {session.id} has no picture in its history yet"
                )
        await stream.send_message(GetBatchResponse(batch_data=batch, timestamp_ms=self._now()))

    async def DeleteSession(  # noqa: N802 - the contract's name
        self, stream: Stream[DeleteSessionRequest, DeleteSessionResponse]
    ) -> None:
        """Forget an ended session."""
        request = await self._request(stream, DeleteSessionRequest)
        with answering_refusals():
            await self._backend.delete(await self._backend.registry.require(request.session_id))
        await stream.send_message(DeleteSessionResponse(timestamp_ms=self._now()))

    async def _request(self, stream: Stream[_Request, Any], kind: type[_Request]) -> _Request:
        require_known_caller(self._backend, stream)
        return await receive_request(stream, kind, self._limit_bytes)

    def _now(self) -> int:
        return self._backend.clock.wall_ms()


def _query(request: QueryMetricsRequest, most_bytes: int) -> MetricsQuery:
    return MetricsQuery(
        names=tuple(request.series),
        first_step=request.first_step if request.HasField("first_step") else None,
        last_step=request.last_step if request.HasField("last_step") else None,
        max_points=request.max_points,
        max_bytes=most_bytes,
    )
