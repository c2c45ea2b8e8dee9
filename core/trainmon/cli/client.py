"""A command's end of DashboardService: it asks, and what goes wrong is a sentence for the user."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import click
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from trainmon.config import parse_address
from trainmon.v1.control_pb2 import CommandRecord
from trainmon.v1.dashboard_grpc import DashboardServiceStub
from trainmon.v1.dashboard_pb2 import (
    DeleteSessionRequest,
    EventKind,
    ListSessionsRequest,
    ListSessionsResponse,
    QueryEventsRequest,
    QueryEventsResponse,
    QueryMetricsRequest,
    QueryMetricsResponse,
    SessionSnapshot,
    WatchSessionRequest,
)
from trainmon.v1.telemetry_pb2 import EpochData, ErrorResponse, StatusUpdate

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Client", "NoMonitorError", "RefusedError"]

#: How long the monitor may take for what it has at hand, and for what it reads or deletes.
_TIMEOUT_S, _WORK_TIMEOUT_S = 10.0, 120.0
_NO_ANSWER = frozenset({Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED})


class NoMonitorError(click.ClickException):
    """Nobody answers at that address, or the answer broke off.

    Args:
        address: Where the monitor should listen.
        reason: What happened, in a few words.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(
            f"no monitor answers at {address} ({reason}): start one with `trainmon serve`, or say "
            "where it is with --monitor"
        )


class RefusedError(click.ClickException):
    """The monitor answered that it will not.

    Args:
        address: Where the monitor listens.
        status: Why, as gRPC has it.
        reason: Why, for people, as the monitor said it.
    """

    def __init__(self, address: str, status: Status, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"the monitor at {address} refused: {reason} ({status.name})")


class Client:
    """Asks one monitor while the ``async with`` lasts. Every call has a deadline.

    Args:
        address: Where it listens, as host:port.

    Raises:
        NoMonitorError: By every call, where nobody answers in time.
        RefusedError: By every call, where the monitor refuses.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._warned = False

    async def __aenter__(self) -> Self:
        self._channel = Channel(*parse_address(self.address))
        self._stub = DashboardServiceStub(self._channel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    async def sessions(self) -> ListSessionsResponse:
        """Return every session, newest first, and the monitor's time."""
        request, found = ListSessionsRequest(), ListSessionsResponse()
        with self._telling():
            while True:
                answer = await self._stub.ListSessions(request, timeout=_TIMEOUT_S)
                found.timestamp_ms = answer.timestamp_ms
                found.sessions.extend(answer.sessions)
                if not answer.left_out or not answer.sessions:
                    return found
                request.after_session_id = answer.sessions[-1].session_id

    async def snapshot(self, session_id: str) -> SessionSnapshot:
        """Return a session as it is, without a picture."""
        request = WatchSessionRequest(session_id=session_id, frames_per_second=-1)
        with self._telling():
            async with self._stub.WatchSession.open(timeout=_TIMEOUT_S) as stream:
                await stream.send_message(request, end=True)
                async for event in stream:
                    if event.WhichOneof("event") == "snapshot":
                        await stream.cancel()
                        return event.snapshot
        raise NoMonitorError(self.address, "it ended the stream before it told of the session")

    async def metrics(self, request: QueryMetricsRequest) -> QueryMetricsResponse:
        """Return scalars."""
        with self._telling():
            return await self._stub.QueryMetrics(request, timeout=_WORK_TIMEOUT_S)

    async def epochs(self, session_id: str) -> list[EpochData]:
        """Return every epoch that is kept, in the order they ended."""
        pages = self._events(session_id, EventKind.EVENT_KIND_EPOCH)
        return [each async for page in pages for each in page.epochs]

    async def commands(self, session_id: str) -> list[CommandRecord]:
        """Return every command that is kept, in the order they were asked for."""
        pages = self._events(session_id, EventKind.EVENT_KIND_COMMAND)
        return [each async for page in pages for each in page.commands]

    async def errors(self, session_id: str) -> list[ErrorResponse]:
        """Return every error that is kept, the oldest first."""
        pages = self._events(session_id, EventKind.EVENT_KIND_ERROR)
        return [each async for page in pages for each in page.errors]

    async def states(self, session_id: str) -> list[StatusUpdate]:
        """Return everything that is kept of what the training said it does, the oldest first."""
        pages = self._events(session_id, EventKind.EVENT_KIND_STATUS)
        return [each async for page in pages for each in page.statuses]

    async def _events(
        self, session_id: str, kind: EventKind
    ) -> AsyncGenerator[QueryEventsResponse, None]:
        request = QueryEventsRequest(session_id=session_id, kind=kind)
        while True:
            try:
                with self._telling():
                    page = await self._stub.QueryEvents(request, timeout=_WORK_TIMEOUT_S)
            except RefusedError as error:
                if not _is_unknown_call(error):
                    raise
                if kind == EventKind.EVENT_KIND_STATUS:  # no snapshot has them
                    reason = "it is older than this command and tells no states: update it"
                    raise RefusedError(self.address, Status.UNIMPLEMENTED, reason) from None
                page = await self._newest_events(session_id)
            yield page
            if not page.next:
                return
            request.after = page.next

    async def _newest_events(self, session_id: str) -> QueryEventsResponse:
        """Return what monitors tell that are older than QueryEvents, and warn of it, once."""
        if not self._warned:
            self._warned = True
            click.echo(
                f"the monitor at {self.address} is older than this command: it may have more "
                "epochs, commands and errors than it tells; update it to see all",
                err=True,
            )
        snapshot = await self.snapshot(session_id)
        return QueryEventsResponse(
            epochs=snapshot.epochs, commands=snapshot.commands, errors=snapshot.errors
        )

    async def delete(self, session_id: str) -> None:
        """Have an ended session forgotten."""
        request = DeleteSessionRequest(session_id=session_id)
        with self._telling():
            await self._stub.DeleteSession(request, timeout=_WORK_TIMEOUT_S)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what goes wrong into what the user is told."""
        try:
            yield
        except GRPCError as error:
            reason = error.message or "it gave no reason"
            if error.status in _NO_ANSWER:
                raise NoMonitorError(self.address, reason) from error
            raise RefusedError(self.address, error.status, reason) from error
        except asyncio.TimeoutError as error:  # before OSError, of which it is one from 3.11 on
            raise NoMonitorError(self.address, "no answer in time") from error
        except OSError as error:
            raise NoMonitorError(self.address, _told(error)) from error
        except (StreamTerminatedError, ProtocolError) as error:
            raise NoMonitorError(self.address, str(error) or "the link broke off") from error


def _is_unknown_call(error: RefusedError) -> bool:
    """Tell whether the monitor has no such call.

    grpclib's server then sends a status without a content-type, and its client tells of the latter.
    """
    lost = error.status is Status.UNKNOWN and error.reason == "Missing content-type header"
    return lost or error.status is Status.UNIMPLEMENTED


def _told(error: OSError) -> str:
    """Return what went wrong without the numbers that asyncio and resolvers put before it."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
