"""The relay between a real session and the real monitor."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from grpclib.client import Channel

import trainmon
from trainmon.config import Settings
from trainmon.monitor.server import MonitorServer
from trainmon.v1.control_pb2 import CommandState, ControlCommand, Stop
from trainmon.v1.dashboard_grpc import DashboardServiceStub
from trainmon.v1.dashboard_pb2 import (
    GetBatchRequest,
    ListSessionsRequest,
    QueryMetricsRequest,
    SendCommandRequest,
    SessionSnapshot,
    SessionState,
    SessionSummary,
    WatchSessionRequest,
)
from trainmon.v1.telemetry_pb2 import BatchData

#: Never set: waiting for it is how a training of these tests takes its time.
BRIEFLY = threading.Event()

#: A training that tells its relay's process id, makes steps, and then hangs until it is killed.
DOOMED = """
import sys, time
import numpy, trainmon
session = trainmon.start_session("doomed")
images = numpy.zeros((16, 8, 8), numpy.uint8)
for step in range(201):
    session.batch_end(loss=float(step), images=images)
print(session.relay_pid, flush=True)
sys.stdin.read()
"""


class Viewer:
    """Asks the monitor what any viewer may ask."""

    def __init__(self, channel: Channel) -> None:
        self._stub = DashboardServiceStub(channel)

    async def session(self) -> SessionSummary | None:
        """Return the one session there is; None: there is none yet."""
        sessions = (await self._stub.ListSessions(ListSessionsRequest())).sessions
        assert len(sessions) <= 1
        return sessions[0] if sessions else None

    async def in_state(self, name: str) -> SessionSummary | None:
        """Return the one session if it is in that state."""
        found = await self.session()
        wanted = SessionState.Value(f"SESSION_STATE_{name}")
        return found if found is not None and found.state == wanted else None

    async def at_step(self, step: int) -> SessionSummary | None:
        """Return the one session if it has reached a step."""
        found = await self.session()
        return found if found is not None and found.global_step >= step else None

    async def losses(self, session_id: str) -> list[float]:
        """Return every batch loss stored, by step."""
        request = QueryMetricsRequest(session_id=session_id, series=["loss"])
        [series] = (await self._stub.QueryMetrics(request)).series
        assert not series.counts
        return list(series.values)

    async def key_frame(self, session_id: str, step: int) -> BatchData:
        """Return the stored picture nearest a step."""
        request = GetBatchRequest(session_id=session_id, step=step)
        return (await self._stub.GetBatch(request)).batch_data

    async def snapshot(self, session_id: str) -> SessionSnapshot:
        """Return what there is to know of a session now."""
        async with self._stub.WatchSession.open() as stream:
            await stream.send_message(WatchSessionRequest(session_id=session_id), end=True)
            answer = await stream.recv_message()
            await stream.cancel()
        assert answer is not None
        return answer.snapshot

    async def stop(self, session_id: str) -> None:
        """Ask the run to stop."""
        command = ControlCommand(command_id="stop-1", issued_by="ada", stop=Stop())
        await self._stub.SendCommand(SendCommandRequest(session_id=session_id, command=command))


@pytest.fixture
async def viewer(monkeypatch):
    """Give a viewer of a monitor that trainings of this test find."""
    async with MonitorServer(Settings.from_environment()) as server:
        monkeypatch.setenv("TRAINMON_MONITOR", server.address)
        async with Channel("127.0.0.1", server.port) as channel:
            yield Viewer(channel)


async def test_a_training_that_is_killed_shows_as_died_with_all_it_told(
    viewer, eventually, gone, kill
):
    """What was handed over survives ``kill -9``; the relay says what it saw, and is gone."""
    training = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DOOMED, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    relay = int(await asyncio.wait_for(training.stdout.readline(), 20))
    kill(training.pid)
    await training.wait()
    training._transport.close()

    async def explained() -> SessionSummary | None:
        # A heartbeat may tell of the death before the last state says how it came.
        found = await viewer.in_state("DIED")
        return found if found is not None and found.status_message else None

    session = await eventually(explained, "DIED, and why")
    assert f"(pid {training.pid}) died without saying goodbye" in session.status_message
    await gone(relay)
    assert session.global_step == 200
    assert await viewer.losses(session.session_id) == [*map(float, range(201))]
    assert len((await viewer.key_frame(session.session_id, 200)).images) == 16


async def test_a_signal_that_ends_training_and_relay_alike_shows_as_died(viewer, eventually, gone):
    """As a scheduler ends a job: the relay, told to go first, still sees and says what happened."""
    training = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DOOMED, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    relay = int(await asyncio.wait_for(training.stdout.readline(), 20))

    await eventually(lambda: viewer.at_step(200), "every step")
    os.kill(relay, signal.SIGTERM)
    os.kill(training.pid, signal.SIGTERM)
    await training.wait()
    training._transport.close()
    session = await eventually(lambda: viewer.in_state("DIED"), "DIED")
    await gone(relay)
    assert await viewer.losses(session.session_id) == [*map(float, range(201))]


async def test_a_whole_run_is_seen_steered_and_ended(viewer, eventually):
    """Registered, watched, stopped from outside; every loss is in the store."""
    steps = []

    def train() -> None:
        rng = np.random.default_rng(0)
        with trainmon.start_session("whole", class_names=["a", "b"], batches_per_epoch=10) as run:
            while True:
                images, targets = rng.random((20, 8, 8)), rng.integers(0, 2, 20)
                run.batch_end(images=images, outputs=rng.random((20, 2)), targets=targets, loss=0.5)
                steps.append(1)
                run.control_point()
                BRIEFLY.wait(0.002)

    running = asyncio.create_task(asyncio.to_thread(train))
    session = await eventually(lambda: viewer.in_state("RUNNING"), "RUNNING")

    async def picture() -> BatchData | None:
        batch = (await viewer.snapshot(session.session_id)).batch_data
        return batch if len(batch.images) == len(batch.predictions) == 16 else None

    await eventually(picture, "a picture of 16 samples")
    await viewer.stop(session.session_id)
    await running
    await eventually(lambda: viewer.in_state("STOPPED"), "STOPPED")
    [record] = (await viewer.snapshot(session.session_id)).commands
    assert record.state == CommandState.COMMAND_STATE_APPLIED
    assert await viewer.losses(session.session_id) == [0.5] * len(steps)


async def test_what_is_said_of_the_last_picture_does_not_end_the_run_before_it(viewer, eventually):
    """A run over before its picture is encoded keeps that, and what could not be shown of it."""

    def train() -> None:
        pictures = np.zeros((16, 8, 8), np.uint8)
        with trainmon.start_session("short") as run:
            for _ in range(7):  # what is drawn is of no task known, which is said
                run.batch_end(loss=1.0, images=pictures, outputs=pictures, targets=pictures)

    await asyncio.to_thread(train)
    session = await eventually(lambda: viewer.in_state("COMPLETED"), "COMPLETED")

    async def explained() -> list[str]:
        return list((await viewer.snapshot(session.session_id)).notes)

    assert "not shown: " in " ".join(await eventually(explained, "what could not be shown"))
    assert len((await viewer.key_frame(session.session_id, 0)).images) == 16
    assert await viewer.losses(session.session_id) == [1.0] * 7


async def test_a_relay_that_is_killed_is_followed_by_another(viewer, eventually, kill, monkeypatch):
    """Training notices nothing, the page goes on, and no number of the producer is missing."""
    monkeypatch.setenv("TRAINMON_KEY_FRAME_INTERVAL", "0.1")
    stop = threading.Event()
    relays: list[int] = []

    def train() -> None:
        with trainmon.start_session("tough") as run:
            while not stop.is_set():
                run.batch_end(loss=1.0, images=np.zeros((16, 8, 8), np.uint8))
                if run.relay_pid not in relays:
                    relays.append(run.relay_pid)
                run.control_point()
                BRIEFLY.wait(0.002)

    running = asyncio.create_task(asyncio.to_thread(train))
    try:
        before = await eventually(lambda: viewer.at_step(20), "some steps")
        kill(relays[0])
        await eventually(lambda: len(relays) > 1, "another relay")
        await eventually(lambda: viewer.at_step(before.global_step + 500), "more steps")
    finally:
        stop.set()
        await running
    session = await eventually(lambda: viewer.in_state("COMPLETED"), "COMPLETED")
    snapshot = await viewer.snapshot(session.session_id)
    assert len(session.ranks) == 1
    assert snapshot.missing_records == 0


def test_the_relay_says_what_it_is_to_whoever_starts_it_by_hand():
    """There is nothing to be gained by it, and it says so."""
    answer = subprocess.run(
        [sys.executable, "-m", "trainmon.relay", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
        cwd=Path(trainmon.__file__).resolve().parents[1],
    )
    assert "there is nothing to be gained by starting it by hand" in " ".join(answer.stdout.split())
