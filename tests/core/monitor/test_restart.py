"""A monitor that starts again on the same history shows every run as before."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from grpclib.exceptions import GRPCError

from trainmon.monitor.store.durable.store import SqlStore
from trainmon.v1.control_pb2 import CommandResult, CommandState, Pause, Stop
from trainmon.v1.dashboard_pb2 import (
    DeleteSessionRequest,
    GetBatchRequest,
    ListSessionsRequest,
    SessionState,
)
from trainmon.v1.telemetry_pb2 import EpochData, SessionDetails

LOST = SessionState.SESSION_STATE_LINK_LOST
RUNNING = SessionState.SESSION_STATE_RUNNING
COMPLETED = SessionState.SESSION_STATE_COMPLETED


@pytest.fixture
async def start(start_monitor, tmp_path):
    """Return what starts a monitor on the history of this test."""

    @asynccontextmanager
    async def started(**settings):
        store = SqlStore(tmp_path / "history", 64 << 20, 256 << 20)
        # However loaded the machine is, no stream is taken for silent.
        patient = {"heartbeat_timeout_ms": 60_000, **settings}
        async with start_monitor(_store=store, **patient) as monitor:
            yield monitor

    return started


async def feed(monitor, open_trainer, series, batch, **registration):
    """Run a training with everything there is to keep; return its stream."""
    fields = {"run_key": "run", "producer_id": "p", "session_name": "digits", **registration}
    fields["sends_metric_data"] = True
    answer = await monitor.register(**fields)
    trainer = await open_trainer(monitor, answer.session_id, fields["producer_id"], own=True)
    await trainer.status("RUNNING", sequence=1, details=SessionDetails(notes=["a note"]))
    await trainer.send(2, metric_data=series("loss", [3.0, 2.0, 1.0]))
    await trainer.send(3, epoch_data=EpochData(epoch=0, average_loss=2.0))
    await trainer.send(4, batch_data=batch(2, batch_loss=1.0))
    await trainer.settle()
    return trainer


async def test_a_run_is_shown_as_before(start, open_trainer, watch, series, batch):
    """List, snapshot, scalars and pictures are those of the earlier monitor."""
    async with start() as monitor:
        trainer = await feed(monitor, open_trainer, series, batch)
        await trainer.status("COMPLETED", sequence=5, message="done")
        await trainer.settle()
        session_id = trainer.session_id
        before = (await (await watch(monitor, session_id)).next()).snapshot
        listed = await monitor.summary(session_id)
        assert listed.state == COMPLETED
    async with start() as monitor:
        again = await monitor.summary(session_id)
        after = (await (await watch(monitor, session_id)).next()).snapshot
        for shot in (before, after):
            shot.summary.timestamp_ms = shot.timestamp_ms = shot.summary.viewers = 0
            shot.config.Clear()
        assert after == before
        assert list(after.notes) == ["a note"]
        listed.timestamp_ms = again.timestamp_ms = 0
        listed.viewers = 0
        assert again == listed
        (loss,) = (await monitor.metrics(session_id)).series
        assert list(loss.values) == [3.0, 2.0, 1.0]
        request = GetBatchRequest(session_id=session_id, step=9)
        assert (await monitor.dashboard.GetBatch(request)).batch_data.global_step == 2


async def test_a_live_run_comes_back_unnoticed(start, open_trainer, series, batch):
    """It has lost its link until its relay registers again; then it runs, the gap filled."""
    async with start() as monitor:
        trainer = await feed(monitor, open_trainer, series, batch)
        session_id = trainer.session_id
    async with start() as monitor:
        lost = await monitor.summary(session_id)
        assert (lost.state, lost.global_step) == (LOST, 2)
        answer = await monitor.register(run_key="run", producer_id="p", session_id=session_id)
        assert (answer.session_id, answer.stored_sequence) == (session_id, 4)
        trainer = await open_trainer(monitor, session_id, "p")
        for number in (4, 5, 6):  # one of them a second time
            await trainer.send(number, metric_data=series("loss", [0.5], number))
        await trainer.settle()
        found = await monitor.summary(session_id)
        assert (found.state, found.global_step) == (RUNNING, 6)
        (loss,) = (await monitor.metrics(session_id)).series
        assert list(loss.steps) == [0, 1, 2, 5, 6]
        listed = await monitor.dashboard.ListSessions(ListSessionsRequest())
        assert len(listed.sessions) == 1


async def test_a_viewer_resumes_without_gap_or_repeat(start, open_trainer, watch, series, batch):
    """A cursor of the earlier monitor brings what came after it, each thing once."""
    async with start() as monitor:
        trainer = await feed(monitor, open_trainer, series, batch)
        session_id = trainer.session_id
        viewer = await watch(monitor, session_id)
        await viewer.next()
        cursors = []
        for number in range(5, 9):
            await trainer.send(number, metric_data=series("loss", [0.5], number))
            cursors.append((await viewer.until("metric_data")).cursor)
        await trainer.send(9, epoch_data=EpochData(epoch=1))
        last = (await viewer.until("epoch_data")).cursor
    async with start() as monitor:
        viewer = await watch(monitor, session_id, resume_cursor=cursors[1])
        first = await viewer.next()
        assert not first.snapshot.reset
        assert first.cursor == cursors[1]
        steps = [(await viewer.until("metric_data")).metric_data.series[0].steps[0] for _ in "ab"]
        assert steps == [7, 8]
        assert (await viewer.until("epoch_data")).epoch_data.epoch == 1
        seen_all = await watch(monitor, session_id, resume_cursor=last)
        assert not (await seen_all.next()).snapshot.reset
        await monitor.register(run_key="run", producer_id="p")
        trainer = await open_trainer(monitor, session_id, "p")
        await trainer.send(10, metric_data=series("loss", [0.5], 10))
        for each in (viewer, seen_all):
            event = await each.until("metric_data")
            assert event.metric_data.series[0].steps[0] == 10
        between = await watch(monitor, session_id, resume_cursor=event.cursor)
        assert not (await between.next()).snapshot.reset


async def test_commands_end_once(start, open_trainer, series, batch):
    """What was sent is unconfirmed until the training answers; what could not be keeps its time."""
    async with start() as monitor:
        trainer = await feed(monitor, open_trainer, series, batch)
        session_id = trainer.session_id
        await monitor.command(session_id, command_id="sent", pause=Pause())
        await trainer.receive("command")
        await trainer.stream.cancel()
        session = monitor.session(session_id)
        await monitor.until(lambda: session.state == LOST)
        await monitor.command(session_id, command_id="short", stop=Stop(), time_to_live_ms=1)
        await monitor.command(session_id, command_id="long", stop=Stop(), time_to_live_ms=10**8)
    async with start() as monitor:
        session = monitor.session(session_id)
        monitor.backend.tick()
        states = {each.command.command_id: each.state for each in session.commands}
        assert states == {
            "sent": CommandState.COMMAND_STATE_UNCONFIRMED,
            "short": CommandState.COMMAND_STATE_EXPIRED,
            "long": CommandState.COMMAND_STATE_RECORDED,
        }
        await monitor.register(run_key="run", producer_id="p")
        trainer = await open_trainer(monitor, session_id, "p", own=True)
        await trainer.beat()
        got = [(await trainer.receive("command")).command_id for _ in "ab"]
        assert got == ["sent", "long"]
        applied = CommandResult(command_id="sent", state=CommandState.COMMAND_STATE_APPLIED)
        await trainer.send(5, command_result=applied)
        await trainer.status("STOPPED", sequence=6)
        await trainer.settle()
        await trainer.stream.cancel()
        await monitor.until(
            lambda: session.commands.get("long").state == CommandState.COMMAND_STATE_EXPIRED
        )
    async with start() as monitor:
        session = await monitor.backend.registry.require(session_id)
        states = {each.command.command_id: each.state for each in session.commands}
        assert states == {
            "sent": CommandState.COMMAND_STATE_APPLIED,
            "short": CommandState.COMMAND_STATE_EXPIRED,
            "long": CommandState.COMMAND_STATE_EXPIRED,
        }
        changes = session.commands.get("sent").transitions
        assert [each.state for each in changes].count(CommandState.COMMAND_STATE_APPLIED) == 1


async def test_a_run_that_never_comes_back_can_be_deleted(start, open_trainer, series, batch):
    """It stays lost, with the time it was last seen, and goes after the patience there is."""
    async with start() as monitor:
        trainer = await feed(monitor, open_trainer, series, batch)
        seen = (await monitor.summary(trainer.session_id)).last_seen_ms
    async with start() as monitor:
        summary = await monitor.summary(trainer.session_id)
        assert (summary.state, summary.last_seen_ms) == (LOST, seen)
        request = DeleteSessionRequest(session_id=trainer.session_id)
        with pytest.raises(GRPCError, match="is live"):
            await monitor.dashboard.DeleteSession(request)
        monitor.pass_time(601)
        await monitor.dashboard.DeleteSession(request)
    async with start() as monitor:
        assert not (await monitor.dashboard.ListSessions(ListSessionsRequest())).sessions


async def test_old_runs_leave_memory_and_stay_listed(start, open_trainer, series, batch, watch):
    """Beyond max_sessions ended runs sleep in the store; looked at or registered, they wake."""
    async with start(max_sessions=3) as monitor:
        ids = []
        for number in range(6):
            key = f"run {number}"
            trainer = await feed(monitor, open_trainer, series, batch, run_key=key)
            await trainer.status("COMPLETED", sequence=5)
            await trainer.settle()
            await trainer.stream.cancel()
            session = monitor.session(trainer.session_id)
            await monitor.until(lambda session=session: session.is_idle)
            ids.append(trainer.session_id)
        registry = monitor.backend.registry
        assert len(registry.sessions) == 3
        assert ids[0] not in registry.sessions
        listed = await monitor.dashboard.ListSessions(ListSessionsRequest())
        assert [each.session_id for each in listed.sessions] == ids[::-1]
        assert {each.state for each in listed.sessions} == {COMPLETED}
        shot = (await (await watch(monitor, ids[0])).next()).snapshot
        assert shot.epochs[0].average_loss == 2.0
        assert ids[0] in registry.sessions
        (loss,) = (await monitor.metrics(ids[1])).series
        assert len(loss.steps) == 3
        answer = await monitor.register(run_key="run 2", producer_id="another")
        assert answer.session_id == ids[2]
        await monitor.dashboard.DeleteSession(DeleteSessionRequest(session_id=ids[3]))
        listed = await monitor.dashboard.ListSessions(ListSessionsRequest())
        assert len(listed.sessions) == 5
