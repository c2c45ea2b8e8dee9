"""A monitor whose history turns out to be damaged says so to everyone, and goes on showing."""

from __future__ import annotations

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from trainmon.monitor.store.base import StoreReadError
from trainmon.monitor.store.durable.store import SqlStore
from trainmon.v1.control_pb2 import Pause
from trainmon.v1.telemetry_pb2 import ErrorCode

#: However loaded the machine is, no stream is taken for silent.
PATIENT = {"heartbeat_timeout_ms": 60_000}


async def test_damage_is_told_to_everyone(
    start_monitor, open_trainer, watch, series, batch, tmp_path
):
    """The training and the page hear of it once, commands are refused, live pictures go on."""
    store = SqlStore(tmp_path / "history", 64 << 20, 256 << 20)
    async with start_monitor(_store=store, **PATIENT) as monitor:
        answer = await monitor.register(run_key="run", producer_id="p", sends_metric_data=True)
        trainer = await open_trainer(monitor, answer.session_id, "p")
        await trainer.send(1, metric_data=series("loss", [1.0]))
        assert (await trainer.receive("acknowledgment")).acknowledged_sequence == 1
        viewer = await watch(monitor, answer.session_id)
        await viewer.next()
        store._damage.found("page 7 is never used")
        for number in (2, 3):
            await trainer.send(number, metric_data=series("loss", [1.0], number))
        for error in (await trainer.receive("error"), (await viewer.until("error")).error):
            assert error.code == ErrorCode.ERROR_CODE_RESOURCE_EXHAUSTED
            assert "is damaged (page 7 is never used)" in error.message
        await trainer.send(batch_data=batch(9))
        assert (await viewer.until("batch_data")).batch_data.global_step == 9
        with pytest.raises(GRPCError, match="is damaged") as refused:
            await monitor.command(answer.session_id, pause=Pause())
        assert refused.value.status is Status.UNAVAILABLE
        assert await store.stored_sequence(answer.session_id, "p") == 1


async def test_what_cannot_be_read_is_answered_so(start_monitor, open_trainer, series, tmp_path):
    """A question that the damaged part would answer ends with DATA_LOSS and the reason."""
    store = SqlStore(tmp_path / "history", 64 << 20, 256 << 20)
    async with start_monitor(_store=store, **PATIENT) as monitor:
        answer = await monitor.register(run_key="run", producer_id="p", sends_metric_data=True)
        trainer = await open_trainer(monitor, answer.session_id, "p")
        await trainer.send(1, metric_data=series("loss", [1.0]))
        await trainer.receive("acknowledgment")
        await store._write(lambda ledger: ledger.connection.exec_driver_sql("DROP TABLE chunks"))
        with pytest.raises(GRPCError, match=r"history.db cannot be read") as refused:
            await monitor.metrics(answer.session_id, max_points=1)
        assert refused.value.status is Status.DATA_LOSS


async def test_a_training_is_not_refused_in_silence(start_monitor, tmp_path):
    """What a registration needs cannot be read: not DATA_LOSS, at which a relay says nothing."""
    store = SqlStore(tmp_path / "history", 64 << 20, 256 << 20)
    async with start_monitor(_store=store, **PATIENT) as monitor:
        await store._write(lambda ledger: ledger.connection.exec_driver_sql("DROP TABLE producers"))
        with pytest.raises(GRPCError, match=r"history.db cannot be read") as refused:
            await monitor.register(run_key="run", producer_id="p")
        assert refused.value.status is Status.INTERNAL


async def test_a_stream_is_not_ended_in_silence(start_monitor, open_trainer, series, monkeypatch):
    """What a record needs cannot be read: the training is told so before the stream ends."""
    async with start_monitor(**PATIENT) as monitor:
        answer = await monitor.register(run_key="run", producer_id="p", sends_metric_data=True)
        trainer = await open_trainer(monitor, answer.session_id, "p")

        async def unreadable(*_: object) -> None:
            raise StoreReadError("history.db cannot be read")

        monkeypatch.setattr(monitor.backend, "take", unreadable)
        await trainer.send(1, metric_data=series("loss", [1.0]))
        assert "cannot be read" in (await trainer.receive("error")).message
        assert (await trainer.ending()).status is Status.INTERNAL


async def test_a_start_that_cannot_read_releases_the_history(start_monitor, tmp_path):
    """A monitor that fails on its way up says why, and holds nothing any more."""
    store = SqlStore(tmp_path / "history", 64 << 20, 256 << 20)
    await store._write(lambda ledger: ledger.connection.exec_driver_sql("DROP TABLE producers"))
    await store._write(
        lambda ledger: ledger.connection.exec_driver_sql(
            "INSERT INTO sessions VALUES (1, 's', '', '', 0, 0, 0, 0, NULL, x'0a030a0173', x'')"
        )
    )
    with pytest.raises(StoreReadError, match=r"history.db cannot be read"):
        async with start_monitor(_store=store, **PATIENT):
            pass
    await SqlStore(tmp_path / "history", 64 << 20, 256 << 20).close()
