"""Plugins in the monitor: told what happens, asked who calls, unable to hurt anyone."""

from __future__ import annotations

import pytest
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from trainmon.manager import PluginManager
from trainmon.monitor.server import MonitorServer
from trainmon.plugin import Caller, hookimpl
from trainmon.v1 import control_pb2, dashboard_pb2, telemetry_pb2
from trainmon.v1.dashboard_grpc import DashboardServiceStub
from trainmon.v1.telemetry_grpc import TelemetryServiceStub

STATE = dashboard_pb2.SessionState


class Listener:
    """Writes down what it is told."""

    def __init__(self):
        self.heard = []

    @hookimpl
    def trainmon_monitor_session_changed(self, session_id, summary):
        """Note the state."""
        self.heard.append((session_id, STATE.Name(summary.state)))

    @hookimpl
    def trainmon_monitor_telemetry(self, session_id, request):
        """Note the kind of message."""
        self.heard.append((session_id, request.WhichOneof("payload")))

    @hookimpl
    def trainmon_monitor_command_changed(self, record):
        """Note the state."""
        self.heard.append((record.session_id, control_pb2.CommandState.Name(record.state)))


class Broken:
    """Raises, whatever it is told."""

    @hookimpl
    def trainmon_monitor_telemetry(self, session_id, request):
        """Raise."""
        raise RuntimeError("broken")

    @hookimpl
    def trainmon_monitor_session_changed(self, session_id, summary):
        """Raise."""
        raise RuntimeError("broken")


class Guard:
    """Knows one caller."""

    @hookimpl
    def trainmon_authenticate(self, metadata):
        """Know who sends the word."""
        return Caller("friend") if metadata.get("word") == "friend" else None


@pytest.fixture
async def serve():
    """Return what starts a monitor with plugins, and its stubs."""
    running = []

    async def start(*plugins):
        manager = PluginManager(role="monitor")
        for plugin in plugins:
            manager.register(plugin, type(plugin).__name__)
        server = MonitorServer(plugins=manager)
        await server.__aenter__()
        channel = Channel("127.0.0.1", server.port)
        running.append((server, channel))
        return TelemetryServiceStub(channel), DashboardServiceStub(channel)

    yield start
    for server, channel in running:
        channel.close()
        await server.close()


async def train(telemetry, dashboard):
    """Register, say RUNNING, take a command; return the session's id."""
    request = telemetry_pb2.RegisterTrainingSessionRequest(run_key="a", producer_id="p")
    session_id = (await telemetry.RegisterTrainingSession(request)).session_id
    async with telemetry.StreamTelemetry.open() as stream:
        running = telemetry_pb2.StatusUpdate(status=telemetry_pb2.TRAINING_STATUS_RUNNING)
        await stream.send_message(
            telemetry_pb2.TelemetryRequest(session_id=session_id, status_update=running)
        )
        assert (await stream.recv_message()).HasField("acknowledgment")
        command = control_pb2.ControlCommand(pause=control_pb2.Pause())
        await dashboard.SendCommand(
            dashboard_pb2.SendCommandRequest(session_id=session_id, command=command)
        )
        assert (await stream.recv_message()).HasField("command")
        await stream.end()
        assert await stream.recv_message() is None
    return session_id


async def test_a_plugin_is_told_what_happens(serve):
    """Sessions, messages and commands are told in the order they happen."""
    listener = Listener()
    stubs = await serve(listener)
    session_id = await train(*stubs)
    told = [what for _, what in listener.heard]
    assert {who for who, _ in listener.heard} == {session_id}
    assert told == [
        "SESSION_STATE_STARTING",
        "status_update",
        "SESSION_STATE_RUNNING",
        "COMMAND_STATE_RECORDED",
        "COMMAND_STATE_SENT",
        "COMMAND_STATE_UNCONFIRMED",
        "SESSION_STATE_LINK_LOST",
    ]


async def test_a_broken_plugin_hurts_nobody(serve):
    """One that raises changes nothing for the training, nor for the other plugins."""
    listener = Listener()
    stubs = await serve(Broken(), listener)
    await train(*stubs)
    assert "status_update" in [what for _, what in listener.heard]


async def test_an_unknown_caller_is_refused_everywhere(serve):
    """Where a plugin knows callers, who is unknown gets UNAUTHENTICATED, and no data is read."""
    telemetry, dashboard = await serve(Guard())
    with pytest.raises(GRPCError) as raised:
        await dashboard.ListSessions(dashboard_pb2.ListSessionsRequest())
    assert raised.value.status is Status.UNAUTHENTICATED
    with pytest.raises(GRPCError) as raised:
        await telemetry.RegisterTrainingSession(telemetry_pb2.RegisterTrainingSessionRequest())
    assert raised.value.status is Status.UNAUTHENTICATED
    async with telemetry.StreamTelemetry.open() as stream:
        await stream.send_request(end=True)
        error = (await stream.recv_message()).error
        assert error.code == telemetry_pb2.ERROR_CODE_UNAUTHENTICATED
        with pytest.raises(GRPCError) as raised:
            await stream.recv_trailing_metadata()
        assert raised.value.status is Status.UNAUTHENTICATED


async def test_a_known_caller_is_served(serve):
    """Who sends what the plugin wants is let in."""
    _, dashboard = await serve(Guard())
    answer = await dashboard.ListSessions(
        dashboard_pb2.ListSessionsRequest(), metadata={"word": "friend"}
    )
    assert answer.timestamp_ms


async def test_who_asked_is_what_the_plugin_says(serve):
    """A command is on record under the name that the plugin vouches for, not what it says."""
    telemetry, dashboard = await serve(Guard())
    known = {"word": "friend"}
    request = telemetry_pb2.RegisterTrainingSessionRequest(run_key="a", producer_id="p")
    session = await telemetry.RegisterTrainingSession(request, metadata=known)
    command = control_pb2.ControlCommand(issued_by="somebody else", pause=control_pb2.Pause())
    record = await dashboard.SendCommand(
        dashboard_pb2.SendCommandRequest(session_id=session.session_id, command=command),
        metadata=known,
    )
    assert record.command.issued_by == "friend"


class Counting(Guard):
    """Counts how often it is asked."""

    def __init__(self):
        self.asked = 0

    @hookimpl
    def trainmon_authenticate(self, metadata):
        """Know everyone."""
        self.asked += 1
        return Caller("friend")


async def test_a_call_is_asked_once_who_it_is_of(serve):
    """A plugin may take long, or ask others."""
    guard = Counting()
    _, dashboard = await serve(guard)
    command = control_pb2.ControlCommand(pause=control_pb2.Pause())
    with pytest.raises(GRPCError):
        await dashboard.SendCommand(
            dashboard_pb2.SendCommandRequest(session_id="none", command=command)
        )
    assert guard.asked == 1


class Careless:
    """Answers what names no caller."""

    @hookimpl
    def trainmon_authenticate(self, metadata):
        """Say yes to everyone."""
        return True


async def test_an_answer_that_names_no_caller_lets_nobody_in(serve):
    """Only a Caller is one: what is true of everyone vouches for nobody."""
    _, dashboard = await serve(Careless())
    with pytest.raises(GRPCError) as raised:
        await dashboard.ListSessions(dashboard_pb2.ListSessionsRequest())
    assert raised.value.status is Status.UNAUTHENTICATED
