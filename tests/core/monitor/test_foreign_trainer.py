"""A training on the official grpcio client, speaking only the original protocol, works fully."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from trainmon.v1 import dashboard_pb2
from trainmon.v1.control_pb2 import CommandState, Pause
from trainmon.v1.dashboard_pb2 import SessionState

BATCHES = 20
#: Status, batches, rates and the epoch; the heartbeat has an answer of its own.
ACKNOWLEDGED = BATCHES + 3


class Foreign:
    """The foreign process and what it said it heard."""

    def __init__(self, process):
        self.process = process
        self.heard = Counter()

    async def until(self, key, count=1):
        """Read on until the process has said something so often; return what it said last."""
        while True:
            line = await asyncio.wait_for(self.process.stdout.readline(), 30)
            assert line, f"it ended before it said {key}: {self.heard}"
            said = json.loads(line)
            (found,) = {"heard": [said.get("heard")]}.get(next(iter(said)), [next(iter(said))])
            self.heard[found] += 1
            if found == key and self.heard[key] >= count:
                return said


@pytest.fixture
async def foreign():
    """Return what starts the foreign process against an address."""
    started = []

    async def start(address):
        script = str(Path(__file__).with_name("foreign_trainer.py"))
        process = await asyncio.create_subprocess_exec(
            sys.executable, script, address, stdout=asyncio.subprocess.PIPE
        )
        started.append(process)
        return Foreign(process)

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_the_original_protocol_works_on_the_official_client(start_monitor, foreign):
    """Register, status, batches, rates, heartbeat, epoch; acknowledgments, a pause, a timeout."""
    async with start_monitor(heartbeat_timeout_ms=2000) as monitor:
        trainer = await foreign(monitor.server.address)
        registered = await trainer.until("registered")
        session_id = registered["registered"]
        assert registered["max_images"] == 16
        await trainer.until("acknowledgment", ACKNOWLEDGED)
        if not trainer.heard["heartbeat"]:
            await trainer.until("heartbeat")
        await see_everything(monitor, session_id)
        record = await monitor.command(session_id, pause=Pause())
        assert (await trainer.until("command"))["command"] == "pause"
        await trainer.until("acknowledgment", ACKNOWLEDGED + 1)
        await see_it_paused(monitor, session_id, record.command.command_id)
        error = await trainer.until("error")
        assert error["error"] == "ERROR_CODE_CONNECTION_TIMEOUT"
        assert (await trainer.until("ended"))["ended"] == "DEADLINE_EXCEEDED"
        lost = (await monitor.summary(session_id)).state
        assert SessionState.Name(lost) == "SESSION_STATE_LINK_LOST"
        assert trainer.heard["acknowledgment"] == ACKNOWLEDGED + 1


async def see_everything(monitor, session_id):
    """Check that a viewer sees all that the training told."""
    summary = await monitor.summary(session_id)
    assert SessionState.Name(summary.state) == "SESSION_STATE_RUNNING"
    assert summary.global_step == BATCHES - 1
    assert summary.current_fps == 60
    (loss,) = (await monitor.metrics(session_id)).series
    assert loss.name == "loss"
    assert list(loss.values) == [2.0 / (index + 1) for index in range(BATCHES)]
    async with monitor.dashboard.WatchSession.open() as stream:
        await stream.send_message(
            dashboard_pb2.WatchSessionRequest(session_id=session_id), end=True
        )
        shot = (await stream.recv_message()).snapshot
        assert len(shot.batch_data.images) == 16
        assert shot.epochs[0].validation_accuracy == 0.9
        assert list(shot.registration.class_names) == ["zero", "one"]
        await stream.cancel()


async def see_it_paused(monitor, session_id, command_id):
    """Check that the state it entered counts as its answer: it has no results to send."""
    record = await monitor.command(session_id, command_id=command_id, pause=Pause())
    assert CommandState.Name(record.state) == "COMMAND_STATE_APPLIED"
    assert record.result.applied_at_step == BATCHES
    paused = (await monitor.summary(session_id)).state
    assert SessionState.Name(paused) == "SESSION_STATE_PAUSED"
