"""A real monitor on a free port, trainings and viewers that speak to it, and clocks to turn."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from PIL import Image

from trainmon.config import Settings
from trainmon.monitor.clock import Clock
from trainmon.monitor.server import MonitorServer
from trainmon.monitor.store.base import Store
from trainmon.v1 import control_pb2, dashboard_pb2, telemetry_pb2
from trainmon.v1.dashboard_grpc import DashboardServiceStub
from trainmon.v1.telemetry_grpc import TelemetryServiceStub

#: How long anything may take that should come at once, in seconds.
SOON_S = 20.0


class TurnedClock(Clock):
    """The real clocks, and what a test adds to the monotonic one."""

    def __init__(self) -> None:
        self.added_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.added_s


class Monitor:
    """A running monitor with its two stubs."""

    def __init__(self, server: MonitorServer, channel: Channel, clock: TurnedClock) -> None:
        self.server = server
        self.backend = server.backend
        self.channel = channel
        self.clock = clock
        self.telemetry = TelemetryServiceStub(channel)
        self.dashboard = DashboardServiceStub(channel)

    def pass_time(self, seconds: float) -> None:
        """Turn the monotonic clock, and let the monitor look at it."""
        self.clock.added_s += seconds
        self.backend.tick()

    async def register(self, **fields: Any) -> telemetry_pb2.SessionResponse:
        request = telemetry_pb2.RegisterTrainingSessionRequest(**fields)
        return await self.telemetry.RegisterTrainingSession(request)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds that other tasks bring about."""
        deadline = asyncio.get_running_loop().time() + SOON_S
        while not condition():
            assert asyncio.get_running_loop().time() < deadline, "it never came about"
            await asyncio.sleep(0)

    def session(self, session_id: str) -> Any:
        return self.backend.registry.sessions[session_id]

    async def summary(self, session_id: str) -> dashboard_pb2.SessionSummary:
        listed = await self.dashboard.ListSessions(dashboard_pb2.ListSessionsRequest())
        return next(each for each in listed.sessions if each.session_id == session_id)

    async def command(self, session_id: str, **fields: Any) -> control_pb2.CommandRecord:
        command = control_pb2.ControlCommand(**fields)
        request = dashboard_pb2.SendCommandRequest(session_id=session_id, command=command)
        return await self.dashboard.SendCommand(request)

    async def metrics(self, session_id: str, **fields: Any) -> dashboard_pb2.QueryMetricsResponse:
        request = dashboard_pb2.QueryMetricsRequest(session_id=session_id, **fields)
        return await self.dashboard.QueryMetrics(request)


class Peer:
    """The client's end of a stream."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    async def ending(self) -> GRPCError:
        """Read to the end of the stream; return the status it ended with."""
        while await asyncio.wait_for(self.stream.recv_message(), SOON_S) is not None:
            pass
        if not self.stream._end_done:
            await self.stream.end()
        try:
            await asyncio.wait_for(self.stream.recv_trailing_metadata(), SOON_S)
        except GRPCError as error:
            return error
        return GRPCError(Status.OK)


class Trainer(Peer):
    """One open telemetry stream, as a relay has it."""

    def __init__(self, stream: Any, session_id: str, producer_id: str) -> None:
        super().__init__(stream)
        self.session_id = session_id
        self.producer_id = producer_id

    async def send(self, sequence: int | None = None, **payload: Any) -> None:
        request = telemetry_pb2.TelemetryRequest(
            session_id=self.session_id, producer_id=self.producer_id, **payload
        )
        if sequence is not None:
            request.sequence = sequence
        await self.stream.send_message(request)

    async def status(self, name: str, sequence: int | None = None, **fields: Any) -> None:
        status = telemetry_pb2.TrainingStatus.Value(f"TRAINING_STATUS_{name}")
        update = telemetry_pb2.StatusUpdate(status=status, **fields)
        await self.send(sequence, status_update=update)

    async def beat(self, number: int = 1, trainer: str = "STEPPING") -> None:
        seen = telemetry_pb2.TrainerLiveness.Value(f"TRAINER_LIVENESS_{trainer}")
        heartbeat = telemetry_pb2.Heartbeat(timestamp_ms=123, sequence_number=number, trainer=seen)
        await self.send(heartbeat=heartbeat)

    async def receive(self, kind: str) -> Any:
        """Return the next response of a kind, skipping others."""

        async def find() -> Any:
            while True:
                response = await self.stream.recv_message()
                assert response is not None, f"the stream ended before any {kind} came"
                if response.WhichOneof("payload") == kind:
                    return getattr(response, kind)

        return await asyncio.wait_for(find(), SOON_S)

    async def settle(self, number: int = 99) -> None:
        """Return when the monitor has taken in everything sent so far."""
        await self.beat(number, "UNSPECIFIED")
        while (await self.receive("heartbeat")).sequence_number != number:
            pass


class Viewer(Peer):
    """One open WatchSession stream."""

    async def next(self) -> dashboard_pb2.WatchSessionResponse:
        """Return the next event that is no keep-alive."""

        async def find() -> dashboard_pb2.WatchSessionResponse:
            while True:
                event = await self.stream.recv_message()
                assert event is not None, "the stream ended"
                if event.WhichOneof("event") != "keep_alive":
                    return event

        return await asyncio.wait_for(find(), SOON_S)

    async def until(
        self, kind: str, wanted: Callable[[Any], bool] = lambda _: True
    ) -> dashboard_pb2.WatchSessionResponse:
        """Return the next event of a kind for which ``wanted`` holds."""

        async def find() -> dashboard_pb2.WatchSessionResponse:
            while True:
                event = await self.stream.recv_message()
                assert event is not None, f"the stream ended before the wanted {kind} came"
                if event.WhichOneof("event") == kind and wanted(getattr(event, kind)):
                    return event

        return await asyncio.wait_for(find(), SOON_S)


@asynccontextmanager
async def open_monitor(_store: Store | None = None, **settings: Any) -> AsyncIterator[Monitor]:
    """Run a monitor with settings, on a store of one's own perhaps."""
    clock = TurnedClock()
    known = Settings.from_environment(**settings)
    async with MonitorServer(known, store=_store, clock=clock) as server:
        channel = Channel("127.0.0.1", server.port)
        try:
            yield Monitor(server, channel, clock)
        finally:
            channel.close()


@pytest.fixture
def start_monitor() -> Callable[..., AbstractAsyncContextManager[Monitor]]:
    """Return what starts a monitor with settings."""
    return open_monitor


@pytest.fixture
async def monitor() -> AsyncIterator[Monitor]:
    """Return a running monitor."""
    async with open_monitor() as running:
        yield running


@pytest.fixture
async def open_trainer() -> AsyncIterator[Callable[..., Awaitable[Trainer]]]:
    """Return what opens telemetry streams; they are cancelled at the end of the test."""
    async with AsyncExitStack() as stack:

        async def connect(
            monitor: Monitor, session_id: str, producer_id: str = "", *, own: bool = False
        ) -> Trainer:
            stub = monitor.telemetry
            if own:  # a connection of its own
                channel = Channel("127.0.0.1", monitor.server.port)
                stack.callback(channel.close)
                stub = TelemetryServiceStub(channel)
            stream = await stack.enter_async_context(_cancelled_at_end(stub.StreamTelemetry))
            return Trainer(stream, session_id, producer_id)

        yield connect


@pytest.fixture
async def watch() -> AsyncIterator[Callable[..., Awaitable[Viewer]]]:
    """Return what opens viewers' streams; they are cancelled at the end of the test."""
    async with AsyncExitStack() as stack:

        async def connect(monitor: Monitor, session_id: str, **fields: Any) -> Viewer:
            method = monitor.dashboard.WatchSession
            stream = await stack.enter_async_context(_cancelled_at_end(method))
            request = dashboard_pb2.WatchSessionRequest(session_id=session_id, **fields)
            await stream.send_message(request, end=True)
            return Viewer(stream)

        yield connect


@asynccontextmanager
async def _cancelled_at_end(method: Any) -> AsyncIterator[Any]:
    stream = method.open()
    await stream.__aenter__()
    try:
        if not hasattr(stream, "_send_request_done") or not stream._send_request_done:
            await stream.send_request()
        yield stream
    finally:
        if stream._stream.closable:
            await stream.cancel()
            await stream.__aexit__(None, None, None)
        else:
            stream._release_stream()


@pytest.fixture
async def running(
    monitor: Monitor, open_trainer: Callable[..., Awaitable[Trainer]]
) -> tuple[Monitor, Trainer]:
    """Return a monitor and a training that runs, with the producer ``p``."""
    registered = await monitor.register(run_key="run", producer_id="p", session_name="digits")
    trainer = await open_trainer(monitor, registered.session_id, "p")
    await trainer.status("RUNNING", sequence=1)
    await trainer.receive("acknowledgment")
    return monitor, trainer


def encode(width: int, height: int, form: str = "JPEG", mode: str = "RGB") -> bytes:
    """Return an encoded picture."""
    out = io.BytesIO()
    Image.new(mode, (width, height), 120).save(out, form)
    return out.getvalue()


@pytest.fixture
def picture() -> Callable[..., telemetry_pb2.ImageData]:
    """Return what makes encoded pictures."""

    def make(width: int = 16, height: int = 16, form: str = "jpeg") -> telemetry_pb2.ImageData:
        return telemetry_pb2.ImageData(
            image_bytes=encode(width, height, form.upper()),
            format=form,
            width=width,
            height=height,
            channels=3,
        )

    return make


@pytest.fixture
def batch(picture: Callable[..., telemetry_pb2.ImageData]) -> Callable[..., Any]:
    """Return what makes batches of a step with so many samples."""

    def make(step: int, samples: int = 2, **fields: Any) -> telemetry_pb2.BatchData:
        return telemetry_pb2.BatchData(
            global_step=step,
            batch_loss=fields.pop("batch_loss", 1.0 / (step + 1)),
            images=[picture() for _ in range(samples)],
            predictions=[telemetry_pb2.Prediction(predicted_class=1) for _ in range(samples)],
            ground_truth=[telemetry_pb2.GroundTruth(true_class=1) for _ in range(samples)],
            **fields,
        )

    return make


@pytest.fixture
def series() -> Callable[..., telemetry_pb2.MetricData]:
    """Return what makes scalars of consecutive steps."""

    def make(
        name: str, values: list[float], first: int = 0, **fields: Any
    ) -> telemetry_pb2.MetricData:
        steps = [float(first + index) for index in range(len(values))]
        made = telemetry_pb2.MetricSeries(
            name=name, steps=steps, times=steps, values=values, **fields
        )
        return telemetry_pb2.MetricData(series=[made])

    return make
