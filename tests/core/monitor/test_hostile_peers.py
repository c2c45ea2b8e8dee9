"""Peers that are hostile or clumsy: greatest numbers, endless lists, late leavers."""

from __future__ import annotations

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from trainmon.monitor import session as session_module
from trainmon.monitor.clock import Clock
from trainmon.monitor.commands import MAX_COMMANDS
from trainmon.monitor.details import MAX_REGISTRATION_BYTES
from trainmon.monitor.hub import Hub
from trainmon.monitor.link import TrainerLink
from trainmon.monitor.refusal import MAX_REASON
from trainmon.monitor.session import Session
from trainmon.monitor.validation import MAX_SCORES, MAX_SERIES
from trainmon.monitor.viewer import Demand
from trainmon.v1 import control_pb2, dashboard_pb2, telemetry_pb2

GREATEST = 2**64 - 1


async def test_skipped_numbers_beyond_measure_leave_the_session_watchable(
    monitor, open_trainer, watch
):
    """Two producers that skip to the greatest number: the count of what is missing stops there."""
    for rank, producer in enumerate(("a", "b")):
        registered = await monitor.register(
            run_key="run", producer_id=producer, rank=rank, world_size=2
        )
        trainer = await open_trainer(monitor, registered.session_id, producer)
        await trainer.status("RUNNING", sequence=GREATEST)
        await trainer.receive("acknowledgment")
    viewer = await watch(monitor, registered.session_id)
    assert (await viewer.next()).snapshot.missing_records == GREATEST


async def test_the_greatest_time_to_live_reaches_the_training(running):
    """A command that is valid for half a milliard years is sent as it was asked for."""
    monitor, trainer = running
    await monitor.command(trainer.session_id, pause=control_pb2.Pause(), time_to_live_ms=GREATEST)
    assert (await trainer.receive("command")).time_to_live_ms == GREATEST


async def test_a_state_at_the_greatest_step_answers_a_command(monitor, open_trainer):
    """What holds from the step after the greatest one is put down at the greatest one."""
    registered = await monitor.register()
    trainer = await open_trainer(monitor, registered.session_id)
    await trainer.send(batch_data=telemetry_pb2.BatchData(global_step=GREATEST))
    sent = await monitor.command(trainer.session_id, pause=control_pb2.Pause())
    await trainer.receive("command")
    await trainer.status("PAUSED")
    await trainer.settle()
    record = monitor.session(trainer.session_id).commands.get(sent.command.command_id)
    assert record.result.applied_at_step == GREATEST


async def test_a_viewer_that_leaves_a_deleted_session_harms_no_list(running, watch):
    """Who watches the list hears of the deletion once, and goes on hearing."""
    monitor, trainer = running
    await trainer.status("COMPLETED", sequence=2)
    await trainer.settle()
    viewer = await watch(monitor, trainer.session_id)
    await viewer.next()
    watcher = monitor.backend.watch_list()
    watcher.take(0.0)
    request = dashboard_pb2.DeleteSessionRequest(session_id=trainer.session_id)
    hub = monitor.session(trainer.session_id).hub
    await monitor.dashboard.DeleteSession(request)
    assert (await viewer.ending()).status is Status.NOT_FOUND
    await monitor.until(lambda: not hub.viewers)
    change = dashboard_pb2.WatchSessionsResponse.FromString(watcher.take(100.0))
    assert list(change.removed_session_ids) == [trainer.session_id]
    assert not change.sessions
    monitor.backend.detach(watcher)


async def test_many_bad_series_bring_one_complaint(running):
    """Of a message with many bad series the good ones stay, and the training is told once."""
    monitor, trainer = running
    row = {"steps": [1], "times": [1], "values": [1]}
    data = telemetry_pb2.MetricData()
    for index in range(100):
        data.series.add(name=f"good {index}", **row)
        data.series.add(name="", **row)
    await trainer.send(2, metric_data=data)
    told = await trainer.receive("error")
    assert "(and 99 more) was dropped" in told.message
    await trainer.settle()
    assert len((await monitor.metrics(trainer.session_id)).series) == 100
    assert len(monitor.session(trainer.session_id).errors) == 1


async def test_series_and_scores_without_end_are_cut(running):
    """A message is cut to its limits before its parts are looked at one by one."""
    _, trainer = running
    endless = telemetry_pb2.MetricData.FromString(b"\x0a\x00" * (MAX_SERIES + 1))
    await trainer.send(2, metric_data=endless)
    assert f"{MAX_SERIES - 1} more" in (await trainer.receive("error")).message
    assert f"has {MAX_SERIES + 1} series" in (await trainer.receive("error")).message
    scores = [telemetry_pb2.ClassScore(class_index=-7)] * (MAX_SCORES + 1)
    prediction = telemetry_pb2.Prediction(top_k_scores=scores)
    await trainer.send(3, batch_data=telemetry_pb2.BatchData(predictions=[prediction]))
    assert f"the limit is {MAX_SCORES}" in (await trainer.receive("error")).message


async def test_processes_of_one_run_are_bounded(monitor, monkeypatch):
    """Beyond the limit one that was replaced makes room; where none was, the next is refused."""
    monkeypatch.setattr(session_module, "MAX_PRODUCERS", 3)
    for producer in ("first try", "second try"):
        await monitor.register(run_key="run", producer_id=producer, world_size=9)
    for rank in (1, 2):
        registered = await monitor.register(
            run_key="run", producer_id=f"rank {rank}", rank=rank, world_size=9
        )
    known = set(monitor.session(registered.session_id).producers)
    assert known == {"second try", "rank 1", "rank 2"}
    with pytest.raises(GRPCError, match="3 processes belong") as refused:
        await monitor.register(run_key="run", producer_id="rank 3", rank=3, world_size=9)
    assert refused.value.status is Status.RESOURCE_EXHAUSTED


async def test_what_many_processes_say_of_a_run_is_bounded(monitor):
    """Registrations add up to the limit of one; the run goes on, and its viewers are told."""
    for rank in range(4):
        said = {f"key {rank}": "x" * (MAX_REGISTRATION_BYTES // 3)}
        registered = await monitor.register(
            run_key="run", producer_id=f"{rank}", rank=rank, world_size=4, hyperparameters=said
        )
    session = monitor.session(registered.session_id)
    assert session.registration.ByteSize() <= MAX_REGISTRATION_BYTES + 1024
    assert len(session.producers) == 4
    assert "the limit is 1048576" in session.errors[-1].message


@pytest.mark.parametrize("size", [16_000, 17_000, 40_000, 66_000, 300_000])
async def test_a_first_registration_of_any_size_is_taken(monitor, size):
    """A large first message, which comes with the settings' acknowledgment, ends no connection."""
    registered = await monitor.register(hyperparameters={"notes": "x" * size})
    assert registered.session_id


async def test_a_refusal_fits_into_a_header(monitor):
    """However many controls a training has declared, a client can read why it was refused."""
    specs = [control_pb2.ControlSpec(name=f"{index:0100}") for index in range(1000)]
    registered = await monitor.register(controls=specs)
    with pytest.raises(GRPCError) as refused:
        await monitor.command(
            registered.session_id, set_control=control_pb2.SetControl(name="other", value=1)
        )
    assert refused.value.status is Status.INVALID_ARGUMENT
    assert len(refused.value.message) == MAX_REASON


async def test_what_a_training_says_of_a_command_is_bounded(running):
    """The message of a result is cut; the rest of the answer counts."""
    monitor, trainer = running
    sent = await monitor.command(trainer.session_id, pause=control_pb2.Pause())
    result = control_pb2.CommandResult(
        command_id=sent.command.command_id,
        state=control_pb2.COMMAND_STATE_APPLIED,
        message="m" * 1_000_000,
    )
    await trainer.send(2, command_result=result)
    await trainer.settle()
    record = monitor.session(trainer.session_id).commands.get(sent.command.command_id)
    assert record.state == control_pb2.COMMAND_STATE_APPLIED
    assert record.ByteSize() < 10_000


async def test_a_command_known_by_its_answer_alone_is_not_sent(running, open_trainer):
    """A monitor that never had the command does not send an empty one on the next stream."""
    monitor, trainer = running
    result = control_pb2.CommandResult(
        command_id="of another monitor", state=control_pb2.COMMAND_STATE_ACCEPTED
    )
    await trainer.send(2, command_result=result)
    await trainer.settle()
    assert monitor.session(trainer.session_id).commands.to_send("of another monitor") is None


async def test_commands_that_expired_do_not_wait_for_a_training_that_never_reads(monitor):
    """What waits for one stream is bounded by what can be open at once."""
    registered = await monitor.register(producer_id="p")
    session: Session = monitor.session(registered.session_id)
    link = TrainerLink(monitor.clock, lambda: 0, 5.0)
    link.session = session
    for _ in range(3 * MAX_COMMANDS):
        command = control_pb2.ControlCommand(pause=control_pb2.Pause(), time_to_live_ms=0)
        record = session.commands.record(command)
        link.command(record.command.command_id)
        session.commands.check()
    assert len(link._commands) <= MAX_COMMANDS + 1


async def test_many_streams_fit_on_one_connection(running, watch):
    """A gateway with more viewers than h2's default of 100 streams gets each its snapshot."""
    monitor, trainer = running
    viewers = [await watch(monitor, trainer.session_id) for _ in range(120)]
    for viewer in viewers:
        assert (await viewer.next()).HasField("snapshot")


def test_a_snapshot_as_large_as_the_queue_ends_nobody():
    """Who resumes with a large snapshot gets it, and then what happened meanwhile."""
    hub = Hub("store", 1 << 16, Clock(), lambda: None)
    hub.publish(9, b"x" * 1000)
    viewer = hub.viewer(Demand())
    hub.add(viewer, b"s" * (1 << 16), 0)
    hub.publish(9, b"y" * 1000)
    assert not viewer.over
    lengths = [len(viewer.take(0.0) or b"") for _ in range(3)]
    assert lengths[0] > 1 << 16 > lengths[1] > 1000


async def test_an_answer_beyond_the_limit_is_refused_before_it_is_built(monkeypatch, running):
    """More points than fit are RESOURCE_EXHAUSTED, with what to ask for instead."""
    monkeypatch.setattr("trainmon.monitor.dashboard.MAX_ANSWER_BYTES", 10_000)
    monitor, trainer = running
    rows = [float(index) for index in range(1000)]
    made = telemetry_pb2.MetricSeries(name="loss", steps=rows, times=rows, values=rows)
    await trainer.send(2, metric_data=telemetry_pb2.MetricData(series=[made]))
    await trainer.settle()
    with pytest.raises(GRPCError, match="set max_points") as refused:
        await monitor.metrics(trainer.session_id)
    assert refused.value.status is Status.RESOURCE_EXHAUSTED
    thinned = await monitor.metrics(trainer.session_id, max_points=100)
    assert len(thinned.series[0].steps) == 100


async def test_one_session_that_cannot_be_looked_after_harms_no_other(monitor, monkeypatch):
    """The ticker goes on with the next session, and counts."""
    registered = [await monitor.register() for _ in range(2)]
    first, second = (monitor.session(each.session_id) for each in registered)

    def broken() -> None:
        raise ValueError("broken on purpose")

    looked: list[bool] = []
    monkeypatch.setattr(first, "check", broken)
    monkeypatch.setattr(second, "check", lambda: looked.append(True))
    monitor.backend.tick()
    assert looked
    assert monitor.backend.failed_checks >= 1


async def test_a_list_beyond_measure_is_told_in_parts(monitor, monkeypatch):
    """A long list comes in several messages, the first of which says to forget what there was."""
    monkeypatch.setattr("trainmon.monitor.watchlist._MESSAGE_BYTES", 200)
    for index in range(20):
        await monitor.register(session_name=f"run {index}")
    watcher = monitor.backend.watch_list()
    parts = []
    while (data := watcher.take(1.0)) is not None:
        parts.append(dashboard_pb2.WatchSessionsResponse.FromString(data))
    assert [part.reset for part in parts] == [True] + [False] * (len(parts) - 1)
    assert len(parts) > 1
    assert sum(len(part.sessions) for part in parts) == 20
    monitor.backend.detach(watcher)
