"""A real monitor that is fed over its own wire, and the command line beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from google.protobuf.message import Message
from grpclib.client import Channel

from trainmon.cli import main
from trainmon.config import Settings
from trainmon.monitor.server import MonitorServer
from trainmon.monitor.store.base import Store
from trainmon.monitor.store.durable.store import SqlStore
from trainmon.monitor.store.memory import MemoryStore
from trainmon.v1.dashboard_grpc import DashboardServiceStub
from trainmon.v1.telemetry_grpc import TelemetryServiceStub
from trainmon.v1.telemetry_pb2 import (
    EpochData,
    MetricData,
    MetricSeries,
    RegisterTrainingSessionRequest,
    SessionDetails,
    StatusUpdate,
    TelemetryRequest,
    TrainingStatus,
)

#: How long anything may take that should come at once, in seconds.
SOON_S = 30.0
_PAYLOADS = {EpochData: "epoch_data", MetricData: "metric_data", StatusUpdate: "status_update"}


@dataclass
class Fed:
    """A monitor, and what feeds it and asks it."""

    server: MonitorServer
    stack: AsyncExitStack
    dashboard: DashboardServiceStub
    telemetry: TelemetryServiceStub

    @property
    def address(self) -> str:
        return self.server.address

    async def session(
        self, *records: Message, live: bool = False, status: str = "COMPLETED", **fields: Any
    ) -> str:
        """Register a session, send it numbered records, and end it; return its id.

        Args:
            records: What is sent, in order; a status as its last ends it.
            live: Whether it is to stay as it is, with its stream open till the end of the test.
            status: How it ends.
            fields: Of the registration.
        """
        fields = {"producer_id": "p", "sends_metric_data": True, **fields}
        request = RegisterTrainingSessionRequest(**fields)
        answer = await self.telemetry.RegisterTrainingSession(request)
        sent = [said("RUNNING"), *records, *([] if live else [said(status)])]
        stream = await self.stack.enter_async_context(self.telemetry.StreamTelemetry.open())
        self.stack.push_async_callback(_cancelled, stream)
        for sequence, record in enumerate(sent, 1):
            await stream.send_message(
                TelemetryRequest(
                    session_id=answer.session_id,
                    producer_id=fields["producer_id"],
                    sequence=sequence,
                    **{_PAYLOADS[type(record)]: record},
                )
            )
        await asyncio.wait_for(_acknowledged(stream, len(sent)), SOON_S)
        if not live:
            await stream.end()
        return answer.session_id


async def _acknowledged(stream: Any, sequence: int) -> None:
    while True:
        response = await stream.recv_message()
        assert response is not None, "the stream ended before all was acknowledged"
        if response.acknowledgment.acknowledged_sequence == sequence:
            return


async def _cancelled(stream: Any) -> None:
    if stream._stream.closable and not stream._cancel_done:
        await stream.cancel()


def said(status: str, message: str = "", *notes: str) -> StatusUpdate:
    """Return what a training says of itself."""
    number = TrainingStatus.Value(f"TRAINING_STATUS_{status}")
    details = SessionDetails(notes=notes) if notes else None
    return StatusUpdate(status=number, message=message, details=details)


def scalars(
    name: str, values: Sequence[float], first: int = 0, attempt: int = 0, **fields: Any
) -> MetricData:
    """Return scalars of consecutive steps, a step each half millisecond."""
    steps = [float(first + index) for index in range(len(values))]
    times = [1.7e12 + step / 2 for step in steps]
    series = MetricSeries(
        name=name, steps=steps, times=times, values=values, attempt=attempt, **fields
    )
    return MetricData(series=[series])


@pytest.fixture(name="said")
def said_fixture() -> Callable[..., StatusUpdate]:
    """Return what makes a training's word of itself."""
    return said


@pytest.fixture(name="scalars")
def scalars_fixture() -> Callable[..., MetricData]:
    """Return what makes scalars."""
    return scalars


@asynccontextmanager
async def serving(store: Store) -> AsyncIterator[Fed]:
    """Run a monitor with a store, which it closes."""
    async with MonitorServer(Settings.from_environment(), store=store) as server:
        channel = Channel("127.0.0.1", server.port)
        try:
            async with AsyncExitStack() as stack:
                yield Fed(
                    server, stack, DashboardServiceStub(channel), TelemetryServiceStub(channel)
                )
        finally:
            channel.close()


@pytest.fixture
def on_disk(tmp_path: Path) -> Callable[[], AbstractAsyncContextManager[Fed]]:
    """Return what runs a monitor with the history of this test, kept on disk between two."""
    # Beside the folder that the tests look into.
    folder = tmp_path.with_name(f"{tmp_path.name}-history")
    return lambda: serving(SqlStore(folder, 1 << 30, 1 << 30))


@pytest.fixture
async def fed(
    request: pytest.FixtureRequest, on_disk: Callable[[], AbstractAsyncContextManager[Fed]]
) -> AsyncIterator[Fed]:
    """Return a running monitor; the parameter ``sqlite`` gives it a store on disk."""
    if getattr(request, "param", "") == "sqlite":
        running = on_disk()
    else:
        running = serving(MemoryStore(Settings.from_environment().history_bytes))
    async with running as monitor:
        yield monitor


async def run(*arguments: str, **options: Any) -> Result:
    """Run a ``trainmon`` command in a thread of its own."""
    invoke = partial(CliRunner().invoke, main, list(arguments), prog_name="trainmon", **options)
    return await asyncio.to_thread(invoke)


@pytest.fixture(name="run")
def run_fixture() -> Callable[..., Awaitable[Result]]:
    """Return what runs a ``trainmon`` command; no monitor is named to it."""
    return run


@pytest.fixture
def trainmon(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[Result]]:
    """Return what runs a ``trainmon`` command that speaks to that monitor."""
    monkeypatch.setenv("TRAINMON_MONITOR", fed.address)
    return run
