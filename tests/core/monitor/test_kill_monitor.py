"""``kill -9`` of a real monitor under a real training, before the eyes of a viewer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from grpclib.client import Channel

from stack import Stack, eventually, kill, lines
from trainmon.v1.dashboard_grpc import DashboardServiceStub
from trainmon.v1.dashboard_pb2 import (
    ListSessionsRequest,
    QueryMetricsRequest,
    SessionState,
    WatchSessionRequest,
)

COMPLETED = SessionState.SESSION_STATE_COMPLETED
KILLS = 3
PATIENCE_S = 60.0


@asynccontextmanager
async def dashboard(address: str) -> AsyncIterator[DashboardServiceStub]:
    """Give a connection to a monitor."""
    host, _, port = address.rpartition(":")
    channel = Channel(host, int(port))
    try:
        yield DashboardServiceStub(channel)
    finally:
        channel.close()


class Onlooker:
    """Watches the only session there is, from monitor to monitor, with one cursor."""

    def __init__(self) -> None:
        self.session_id = ""
        self.cursor = ""
        self.steps: list[int] = []
        self.values: list[float] = []
        self.resets = 0
        self.state = SessionState.SESSION_STATE_UNSPECIFIED

    async def find(self, address: str) -> None:
        """Wait for the session."""
        async with dashboard(address) as stub:
            while not self.session_id:
                listed = await stub.ListSessions(ListSessionsRequest())
                for each in listed.sessions:
                    self.session_id = each.session_id
                await asyncio.sleep(0.02)  # a list has no event to wait on but another stream

    async def watch(self, address: str, until: int | None) -> None:
        """Take in events until so many steps were seen, or (None) the run has ended."""
        async with dashboard(address) as stub, stub.WatchSession.open() as stream:
            request = WatchSessionRequest(session_id=self.session_id, resume_cursor=self.cursor)
            await stream.send_message(request, end=True)
            async for event in stream:
                self._take(event)
                over = self.state == COMPLETED if until is None else len(self.steps) >= until
                if over:
                    await stream.cancel()
                    return

    def _take(self, event) -> None:
        if event.HasField("snapshot"):
            self.resets += event.snapshot.reset
        if event.HasField("keep_alive"):
            self.state = event.keep_alive.summary.state
        for series in event.metric_data.series:
            if series.name == "loss":
                self.steps.extend(map(int, series.steps))
                self.values.extend(series.values)
        self.cursor = event.cursor or self.cursor


@pytest.mark.timeout(240)
async def test_a_viewer_sees_every_step_once(processes: Stack, tmp_path: Path) -> None:
    """Over several monitors, each killed, no step is missing, none comes twice, nothing resets."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - a failure is reported with it
    chance = random.Random(seed)
    log = tmp_path / "losses"
    monitor, address = await asyncio.to_thread(processes.monitor)
    port = int(address.rpartition(":")[2])
    await asyncio.to_thread(processes.training, address, "--epochs", "12", "--log", str(log))
    onlooker = Onlooker()
    await asyncio.wait_for(onlooker.find(address), PATIENCE_S)
    for _ in range(KILLS):
        wanted = len(onlooker.steps) + chance.randrange(1, 60)
        await asyncio.wait_for(onlooker.watch(address, wanted), PATIENCE_S)
        kill(monitor.pid)
        monitor, address = await asyncio.to_thread(processes.monitor, port)
    await asyncio.wait_for(onlooker.watch(address, None), 2 * PATIENCE_S)
    # The log is written to its end when the training is over.
    await asyncio.to_thread(
        eventually,
        lambda: lines(log) >= len(onlooker.steps) + onlooker.steps[0],
        "the log is whole",
    )
    losses = [float.fromhex(line) for line in log.read_text().split()]
    first = onlooker.steps[0]
    assert onlooker.steps == list(range(first, len(losses)))
    assert onlooker.values == losses[first:]
    assert onlooker.resets == 0
    async with dashboard(address) as stub:
        (series,) = (
            await stub.QueryMetrics(
                QueryMetricsRequest(session_id=onlooker.session_id, series=["loss"])
            )
        ).series
        assert list(series.values) == losses
        listed = await stub.ListSessions(ListSessionsRequest())
        assert [each.state for each in listed.sessions] == [COMPLETED]
