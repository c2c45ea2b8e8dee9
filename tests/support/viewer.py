"""A viewer for tests: the official grpcio client asking a monitor what it knows."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from stack import eventually
from trainmon.v1.control_pb2 import CommandRecord, CommandState, ControlCommand
from trainmon.v1.dashboard_pb2 import (
    ListSessionsRequest,
    QueryMetricsRequest,
    SendCommandRequest,
    SessionSnapshot,
    SessionState,
    SessionSummary,
    WatchSessionRequest,
    WatchSessionResponse,
    WatchSessionsRequest,
    WatchSessionsResponse,
)
from trainmon_gateway.v1.dashboard_pb2_grpc import DashboardServiceStub
from web_channel import WebChannel

ENDS = {
    SessionState.SESSION_STATE_COMPLETED,
    SessionState.SESSION_STATE_STOPPED,
    SessionState.SESSION_STATE_FAILED,
    SessionState.SESSION_STATE_DIED,
}


class Viewer:
    """Asks one monitor, or a gateway before it. Every call has a deadline."""

    def __init__(self, channel: grpc.Channel | WebChannel) -> None:
        self._stub: Any = DashboardServiceStub(channel)

    def sessions(self) -> list[SessionSummary]:
        """Return what the monitor lists; nothing while it is away."""
        try:
            return list(self._stub.ListSessions(ListSessionsRequest(), timeout=5).sessions)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return []
            raise

    def session(
        self, until: Callable[[SessionSummary], object] = lambda _: True, timeout_s: float = 30
    ) -> SessionSummary:
        """Return the one session there is, once it is as wanted."""
        found = eventually(
            self.sessions,
            "one session, as wanted",
            timeout_s,
            lambda sessions: len(sessions) == 1 and until(sessions[0]),
        )
        return found[0]

    def in_state(self, name: str, timeout_s: float = 30) -> SessionSummary:
        """Return the one session there is, once it is in that state."""
        wanted = SessionState.Value(f"SESSION_STATE_{name}")
        return self.session(lambda summary: summary.state == wanted, timeout_s)

    def at_step(self, step: int, timeout_s: float = 30) -> SessionSummary:
        """Return the one session there is, once it has reached a step."""
        return self.session(lambda summary: summary.global_step >= step, timeout_s)

    def metrics(self, session_id: str, *names: str) -> dict[str, Any]:
        """Return every point of some series, or of all."""
        return self.points(session_id, *names)[0]

    def points(
        self, session_id: str, *names: str, first_step: int = 0
    ) -> tuple[dict[str, Any], str]:
        """Return every point of some series, or of all, and the cursor behind them."""
        request = QueryMetricsRequest(
            session_id=session_id, series=names, first_step=first_step, max_points=0
        )
        answer = self._stub.QueryMetrics(request, timeout=10)
        return {series.name: series for series in answer.series}, answer.cursor

    def send(self, session_id: str, **action: Any) -> CommandRecord:
        """Send a command."""
        command = ControlCommand(command_id=uuid.uuid4().hex, issued_by="a test", **action)
        request = SendCommandRequest(session_id=session_id, command=command)
        record: CommandRecord = self._stub.SendCommand(request, timeout=10)
        return record

    def send_again(self, record: CommandRecord) -> CommandRecord:
        """Send a command that was sent before, under the same id."""
        request = SendCommandRequest(session_id=record.session_id, command=record.command)
        answer: CommandRecord = self._stub.SendCommand(request, timeout=10)
        return answer

    def watch(
        self,
        session_id: str,
        frames_per_second: float = 30,
        tile_size: int = 64,
        cursor: str = "",
        timeout_s: float = 60,
    ) -> Iterator[WatchSessionResponse]:
        """Return the events of a session, for at most so long."""
        request = WatchSessionRequest(
            session_id=session_id,
            frames_per_second=frames_per_second,
            tile_size=tile_size,
            resume_cursor=cursor,
        )
        stream: Iterator[WatchSessionResponse] = self._stub.WatchSession(request, timeout=timeout_s)
        return stream

    def watch_sessions(self, timeout_s: float) -> Iterator[WatchSessionsResponse]:
        """Return the list of sessions, and what changes of it, for at most so long."""
        return self._stub.WatchSessions(WatchSessionsRequest(), timeout=timeout_s)

    def snapshot(self, session_id: str) -> SessionSnapshot:
        """Return a session as it is."""
        stream = self.watch(session_id, frames_per_second=-1)
        try:
            return next(iter(stream)).snapshot
        finally:
            stream.cancel()  # type: ignore[attr-defined] # a grpc call, which is an iterator too

    def command(self, session_id: str, command_id: str, *states: str) -> CommandRecord:
        """Return the record of a command, once it is in one of the states."""
        wanted = {CommandState.Value(f"COMMAND_STATE_{name}") for name in states}

        def read() -> CommandRecord | None:
            for record in self.snapshot(session_id).commands:
                if record.command.command_id == command_id and record.state in wanted:
                    return record
            return None

        found = eventually(read, f"command in {states}")
        if found is None:
            raise AssertionError("no such command")
        return found


@contextmanager
def viewer(address: str) -> Iterator[Viewer]:
    """Give a viewer of the monitor at an address."""
    # A test restarts monitors: wait less than grpc's second between attempts.
    options = [
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 500),
        # What the monitor answers at most; grpc takes 4 MiB.
        ("grpc.max_receive_message_length", 64 << 20),
    ]
    with grpc.insecure_channel(address, options=options) as channel:
        yield Viewer(channel)


@contextmanager
def web_viewer(port: int) -> Iterator[Viewer]:
    """Give a viewer of the gateway at a port of this machine."""
    with WebChannel("127.0.0.1", port) as channel:
        yield Viewer(channel)
