"""A monitor that cannot write its history loses nothing it acknowledged, and shows the rest."""

from __future__ import annotations

import asyncio

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from sqlalchemy.exc import OperationalError

from trainmon.monitor.store.durable.store import SqlStore
from trainmon.v1.control_pb2 import Pause
from trainmon.v1.telemetry_pb2 import ErrorCode

FULL = ErrorCode.ERROR_CODE_RESOURCE_EXHAUSTED


#: However loaded the machine is, no stream is taken for silent.
PATIENT = {"heartbeat_timeout_ms": 60_000}


class Disk:
    """The store's disk, which can be full."""

    def __init__(self, store, monkeypatch):
        self.full = False
        self.store = store
        ledger = store._writer._ledger
        flush = ledger.flush

        def flushed():
            flush()
            if self.full:
                raise OperationalError("INSERT", {}, Exception("database or disk is full"))

        monkeypatch.setattr(ledger, "flush", flushed)


@pytest.fixture
async def disk(tmp_path, monkeypatch):
    """Return a store's disk; the store is closed by the monitor."""
    return Disk(SqlStore(tmp_path / "history", 64 << 20, 256 << 20), monkeypatch)


async def test_what_cannot_be_kept_comes_again(
    disk, start_monitor, open_trainer, watch, series, batch
):
    """It is not acknowledged, said once, and kept when the training sends it again."""
    async with start_monitor(_store=disk.store, **PATIENT) as monitor:
        fields = {"run_key": "run", "producer_id": "p", "sends_metric_data": True}
        answer = await monitor.register(**fields)
        trainer = await open_trainer(monitor, answer.session_id, "p", own=True)
        await trainer.send(1, metric_data=series("loss", [1.0]))
        assert (await trainer.receive("acknowledgment")).acknowledged_sequence == 1
        viewer = await watch(monitor, answer.session_id)
        await viewer.next()
        disk.full = True
        for number in (2, 3, 4):
            await trainer.send(number, metric_data=series("loss", [1.0], number))
        error = await trainer.receive("error")
        assert error.code == FULL
        assert "disk is full" in error.message
        assert (await viewer.until("error")).error.code == FULL
        await trainer.send(batch_data=batch(9))
        assert (await viewer.until("batch_data")).batch_data.global_step == 9
        with pytest.raises(GRPCError, match="put on record") as refused:
            await monitor.command(answer.session_id, pause=Pause())
        assert refused.value.status is Status.UNAVAILABLE
        assert not list(monitor.session(answer.session_id).commands)
        disk.full = False
        while not monitor.session(answer.session_id).producers["p"].link.over:
            monitor.pass_time(1)
            await monitor.backend.keeper.wait()
        assert (await trainer.ending()).status is Status.UNAVAILABLE
        again = await monitor.register(**fields)
        assert again.stored_sequence == 1
        trainer = await open_trainer(monitor, answer.session_id, "p")
        for number in (2, 3, 4):
            await trainer.send(number, metric_data=series("loss", [1.0], number))
            seen = (await viewer.until("metric_data")).metric_data
            assert seen.series[0].steps[0] == number
        (loss,) = (await monitor.metrics(answer.session_id)).series
        assert list(loss.steps) == [0, 2, 3, 4]


async def test_an_end_that_cannot_be_kept_comes_again(disk, start_monitor, open_trainer):
    """A training that said goodbye to a full disk can say it again."""
    async with start_monitor(_store=disk.store, **PATIENT) as monitor:
        answer = await monitor.register(run_key="run", producer_id="p")
        trainer = await open_trainer(monitor, answer.session_id, "p", own=True)
        await trainer.status("RUNNING", sequence=1)
        await trainer.settle()
        disk.full = True
        await trainer.status("COMPLETED", sequence=2)
        assert (await trainer.receive("error")).code == FULL
        disk.full = False
        await monitor.register(run_key="run", producer_id="p")
        trainer = await open_trainer(monitor, answer.session_id, "p")
        await trainer.status("COMPLETED", sequence=2)
        assert (await trainer.receive("acknowledgment")).acknowledged_sequence == 2


async def test_sessions_and_commands_are_written_later(disk, start_monitor, open_trainer, tmp_path):
    """What nobody waits for is tried again until it is written."""
    async with start_monitor(_store=disk.store, **PATIENT) as monitor:
        disk.full = True
        answer = await monitor.register(run_key="run", producer_id="p", session_name="late")
        trainer = await open_trainer(monitor, answer.session_id, "p")
        await trainer.settle()
        disk.full = False
    store = SqlStore(tmp_path / "history", 64 << 20, 256 << 20)
    try:
        (listed,) = await store.sessions()
    finally:
        await store.close()
    assert listed.summary.session_name == "late"


async def test_one_bad_job_fails_alone(disk, tmp_path):
    """Of several that are written together, only the one at fault is told."""

    def broken(ledger):
        raise LookupError("mine")

    writer = disk.store._writer
    done = await asyncio.gather(
        *(writer.do(job) for job in (lambda _: 1, broken, lambda _: 3)), return_exceptions=True
    )
    assert (done[0], done[2]) == (1, 3)
    assert isinstance(done[1], LookupError)
    await disk.store.close()
