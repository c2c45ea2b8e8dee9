"""Viewers and the monitor over a real socket: snapshots, events, resuming, demand, lists."""

from __future__ import annotations

import asyncio

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from trainmon.v1 import control_pb2, dashboard_pb2, telemetry_pb2
from trainmon.v1.dashboard_pb2 import SessionState


async def refused(call, status, *words):
    """A call is refused with a status, and the message holds the words."""
    with pytest.raises(GRPCError) as raised:
        await call
    assert raised.value.status is status
    for word in words:
        assert word in raised.value.message
    return raised.value


async def test_a_viewer_gets_a_snapshot_at_once(running, watch, batch, series):
    """The first message is the session as it is, then each event follows with its cursor."""
    monitor, trainer = running
    await trainer.send(2, epoch_data=telemetry_pb2.EpochData(epoch=0, average_loss=0.5))
    await trainer.send(
        performance_data=telemetry_pb2.PerformanceData(current_fps=60, global_step=9)
    )
    await trainer.send(batch_data=batch(9))
    await trainer.settle()
    viewer = await watch(monitor, trainer.session_id)
    first = await viewer.next()
    shot = first.snapshot
    assert first.cursor
    assert not shot.reset
    assert SessionState.Name(shot.summary.state) == "SESSION_STATE_RUNNING"
    assert shot.summary.viewers == 0
    assert shot.registration.session_name == "digits"
    assert shot.config.max_images == 16
    assert [each.average_loss for each in shot.epochs] == [0.5]
    assert shot.performance_data.current_fps == 60
    assert shot.summary.current_fps == 60
    assert shot.batch_data.global_step == 9
    await trainer.send(3, metric_data=series("accuracy", [0.5]))
    event = await viewer.next()
    assert event.metric_data.series[0].name == "accuracy"
    assert event.cursor != first.cursor


async def test_every_kind_of_event_reaches_a_viewer(running, watch, batch, series):
    """Batches, epochs, rates, states, scalars and commands are passed on as they came."""
    monitor, trainer = running
    viewer = await watch(monitor, trainer.session_id)
    await viewer.until("snapshot")
    sent = batch(4)
    await trainer.send(batch_data=sent)
    assert (await viewer.until("batch_data")).batch_data == sent
    epoch = telemetry_pb2.EpochData(epoch=1, validation_accuracy=0.9, metrics={"f1": 0.8})
    await trainer.send(2, epoch_data=epoch)
    assert (await viewer.until("epoch_data")).epoch_data == epoch
    rates = telemetry_pb2.PerformanceData(current_fps=3, average_fps=2)
    await trainer.send(performance_data=rates)
    assert (await viewer.until("performance_data")).performance_data == rates
    await trainer.status("PAUSED", sequence=3, message="by hand")
    assert (await viewer.until("status_update")).status_update.message == "by hand"
    data = series("accuracy", [float("nan"), 0.5])
    await trainer.send(4, metric_data=data)
    told = (await viewer.until("metric_data")).metric_data
    assert told.SerializeToString() == data.SerializeToString()
    await monitor.command(trainer.session_id, command_id="c", pause=control_pb2.Pause())
    assert (await viewer.until("command_record")).command_record.command.command_id == "c"
    await trainer.beat(1, "SILENT")


async def test_keep_alives_come_by_themselves(running, watch):
    """A viewer of a silent session hears every second that the link lives, and how it is."""
    monitor, trainer = running
    viewer = await watch(monitor, trainer.session_id)
    await viewer.until("snapshot")
    event = await viewer.until("keep_alive")
    assert event.keep_alive.summary.session_id == trainer.session_id
    assert event.keep_alive.summary.viewers == 1


async def test_a_change_of_state_is_told_at_once(running, watch):
    """What silence says, and no message, reaches viewers without delay."""
    monitor, trainer = running
    viewer = await watch(monitor, trainer.session_id)
    await viewer.until("snapshot")
    await trainer.beat(1, "SILENT")
    stalled = SessionState.SESSION_STATE_STALLED
    await viewer.until("keep_alive", lambda event: event.summary.state == stalled)


async def test_a_viewer_resumes_where_it_was(running, watch, series):
    """With a known cursor nothing comes twice and nothing is missed."""
    monitor, trainer = running
    viewer = await watch(monitor, trainer.session_id)
    await viewer.until("snapshot")
    for step in range(5):
        await trainer.send(step + 2, metric_data=series("loss", [float(step)], first=step))
    seen = [await viewer.until("metric_data") for _ in range(2)]
    await trainer.settle()
    again = await watch(monitor, trainer.session_id, resume_cursor=seen[-1].cursor)
    snapshot = await again.next()
    assert not snapshot.snapshot.reset
    assert snapshot.cursor == seen[-1].cursor
    steps = [(await again.next()).metric_data.series[0].steps[0] for _ in range(3)]
    assert steps == [2, 3, 4]


@pytest.mark.parametrize("cursor", ["nonsense", "other-store:3", ":", "a:b:c", "x:99999999999999"])
async def test_an_unknown_cursor_resets(running, watch, cursor):
    """Who comes with a cursor of another store is told to forget what it had."""
    monitor, trainer = running
    viewer = await watch(monitor, trainer.session_id, resume_cursor=cursor)
    assert (await viewer.next()).snapshot.reset


async def test_a_cursor_that_is_too_old_resets(start_monitor, open_trainer, watch, series):
    """What the ring of recent events no longer holds is not silently skipped."""
    async with start_monitor(viewer_queue_bytes=1 << 16) as monitor:
        answer = await monitor.register(run_key="a", producer_id="p")
        trainer = await open_trainer(monitor, answer.session_id, "p")
        viewer = await watch(monitor, answer.session_id)
        cursor = (await viewer.next()).cursor
        for step in range(100):
            await trainer.send(step + 1, metric_data=series("loss", [1.0] * 20, first=step * 20))
        await trainer.settle()
        late = await watch(monitor, answer.session_id, resume_cursor=cursor)
        assert (await late.next()).snapshot.reset


async def test_viewers_demand_reaches_the_training(running, watch):
    """The greatest demand of all viewers is pushed at once, and dropped when it stays down."""
    monitor, trainer = running
    first = await watch(monitor, trainer.session_id, frames_per_second=10, tile_size=64)
    config = await trainer.receive("config")
    assert (config.frames_per_second, config.tile_size, config.viewers) == (10, 64, 1)
    second = await watch(monitor, trainer.session_id, frames_per_second=60, tile_size=256)
    config = await trainer.receive("config")
    assert (config.frames_per_second, config.tile_size, config.viewers) == (60, 256, 2)
    await second.stream.cancel()
    config = await trainer.receive("config")
    assert (config.frames_per_second, config.viewers) == (60, 1)
    monitor.pass_time(1.5)
    monitor.pass_time(1)
    config = await trainer.receive("config")
    assert (config.frames_per_second, config.tile_size) == (10, 64)
    await first.stream.cancel()
    await monitor.until(lambda: monitor.session(trainer.session_id).hub.viewers == 0)
    monitor.pass_time(2.1)
    while (config := await trainer.receive("config")).frames_per_second:
        pass
    assert (config.frames_per_second, config.tile_size, config.viewers) == (0, 128, 0)


@pytest.mark.parametrize(
    ("asked", "told"), [(0, 15), (1000, 60), (float("nan"), 15), (-1, 0), (0.5, 0.5)]
)
async def test_demand_is_kept_within_bounds(running, watch, asked, told):
    """0 is the default, the most is 60, less than 0 is no pictures."""
    monitor, trainer = running
    await watch(monitor, trainer.session_id, frames_per_second=asked, tile_size=5000)
    config = await trainer.receive("config")
    assert config.frames_per_second == told
    assert config.tile_size == (512 if told else 128)


async def test_a_viewer_without_pictures_gets_none(running, watch, batch, series):
    """Less than 0 frames per second: scalars come, batches do not."""
    monitor, trainer = running
    await trainer.send(batch_data=batch(0))
    await trainer.settle()
    viewer = await watch(monitor, trainer.session_id, frames_per_second=-1)
    assert not (await viewer.next()).snapshot.HasField("batch_data")
    await trainer.send(batch_data=batch(1))
    await trainer.send(2, metric_data=series("accuracy", [1.0]))
    kinds = [(await viewer.next()).WhichOneof("event") for _ in range(2)]
    assert kinds == ["metric_data", "metric_data"]


async def test_pictures_reach_a_viewer_at_its_own_rate(running, watch, batch):
    """A viewer that wants one picture a second gets the newest, not all of them."""
    monitor, trainer = running
    viewer = await watch(monitor, trainer.session_id, frames_per_second=1)
    await viewer.until("snapshot")
    for step in range(50):
        await trainer.send(batch_data=batch(step, samples=1))
    await trainer.settle()
    steps = [-1]
    while steps[-1] != 49:
        steps.append((await viewer.until("batch_data")).batch_data.global_step)
    assert steps == sorted(steps)
    assert len(steps) < 25


async def test_a_batch_without_samples_takes_no_pictures_place(running, watch, batch):
    """A picture that waits is not replaced by a batch that shows nothing."""
    monitor, trainer = running
    viewer = await watch(monitor, trainer.session_id, frames_per_second=2)
    await viewer.until("snapshot")
    for step in range(3):
        await trainer.send(batch_data=batch(step))
    for step in range(3, 6):
        await trainer.send(batch_data=batch(step, samples=0))
    await trainer.settle()
    while (event := await viewer.until("batch_data")).batch_data.global_step < 2:
        pass
    assert event.batch_data.global_step == 2


async def test_the_list_of_sessions_is_watched(monitor, open_trainer):
    """The whole list comes first, then what changes, then what was deleted."""
    before = await monitor.register(session_name="before")
    async with monitor.dashboard.WatchSessions.open() as stream:
        await stream.send_message(dashboard_pb2.WatchSessionsRequest(), end=True)
        first = await stream.recv_message()
        assert first.reset
        assert [each.session_name for each in first.sessions] == ["before"]
        after = await monitor.register(session_name="after", run_key="a", producer_id="p")

        async def told_of(session_id):
            while True:
                message = await asyncio.wait_for(stream.recv_message(), 10)
                assert not message.reset
                for each in message.sessions:
                    if each.session_id == session_id:
                        return each

        assert (await told_of(after.session_id)).session_name == "after"
        trainer = await open_trainer(monitor, after.session_id, "p")
        await trainer.status("COMPLETED", sequence=1)
        while not (await told_of(after.session_id)).HasField("ended_ms"):
            pass
        request = dashboard_pb2.DeleteSessionRequest(session_id=after.session_id)
        await monitor.dashboard.DeleteSession(request)
        while not (message := await stream.recv_message()).removed_session_ids:
            assert before.session_id not in {each.session_id for each in message.sessions}
        assert list(message.removed_session_ids) == [after.session_id]
        await stream.cancel()


async def test_an_idle_list_stays_alive(monitor):
    """A list in which nothing happens sends an empty message each second."""
    async with monitor.dashboard.WatchSessions.open() as stream:
        await stream.send_message(dashboard_pb2.WatchSessionsRequest(), end=True)
        assert (await stream.recv_message()).reset
        message = await asyncio.wait_for(stream.recv_message(), 10)
        assert message.timestamp_ms
        assert not message.reset
        assert not message.sessions
        assert not message.removed_session_ids
        await stream.cancel()


async def test_sessions_are_listed_newest_first(monitor):
    """The list begins with the newest and tells the monitor's time."""
    for name in ("old", "new"):
        await monitor.register(session_name=name, total_epochs=3)
    answer = await monitor.dashboard.ListSessions(dashboard_pb2.ListSessionsRequest())
    assert [each.session_name for each in answer.sessions] == ["new", "old"]
    assert answer.sessions[0].total_epochs == 3
    assert not answer.sessions[0].HasField("global_step")
    assert answer.timestamp_ms


@pytest.mark.parametrize(
    "call", ["WatchSession", "SendCommand", "QueryMetrics", "GetBatch", "DeleteSession"]
)
async def test_unknown_sessions_are_not_found(monitor, call):
    """Every call for a session nobody knows is NOT_FOUND and says so."""
    request = getattr(dashboard_pb2, f"{call}Request")(session_id="nobody")
    await refused(getattr(monitor.dashboard, call)(request), Status.NOT_FOUND, "nobody")


async def test_a_key_frame_is_found_by_step(running, batch):
    """Numbered pictures are kept, and the nearest to a step is answered."""
    monitor, trainer = running
    request = dashboard_pb2.GetBatchRequest(session_id=trainer.session_id, step=16)
    await refused(monitor.dashboard.GetBatch(request), Status.NOT_FOUND, "no picture")
    for number, step in enumerate((10, 20)):
        await trainer.send(number + 2, batch_data=batch(step))
    await trainer.send(batch_data=batch(16))
    await trainer.settle()
    answer = await monitor.dashboard.GetBatch(request)
    assert answer.batch_data.global_step == 20
    assert len(answer.batch_data.images) == 2


async def test_metrics_are_thinned_with_exact_extremes(running, series):
    """A chart of few points still shows the one spike among many."""
    monitor, trainer = running
    values = [1.0] * 5000
    values[3777] = 1e6
    await trainer.send(2, metric_data=series("loss", values))
    await trainer.settle()
    answer = await monitor.metrics(trainer.session_id, series=["loss"], max_points=100)
    assert answer.cursor
    (found,) = answer.series
    assert len(found.steps) == 100
    assert max(found.maximums) == 1e6
    assert min(found.minimums) == 1
    assert sum(found.counts) == 5000
    part = await monitor.metrics(trainer.session_id, first_step=3776, last_step=3778)
    assert list(part.series[0].values) == [1, 1e6, 1]
    assert not (await monitor.metrics(trainer.session_id, series=["other"])).series


async def test_watching_goes_on_after_a_query(running, watch, series):
    """The cursor of an answer continues where its rows end."""
    monitor, trainer = running
    await trainer.send(2, metric_data=series("loss", [1.0]))
    await trainer.settle()
    answer = await monitor.metrics(trainer.session_id)
    await trainer.send(3, metric_data=series("loss", [2.0], first=1))
    await trainer.settle()
    viewer = await watch(monitor, trainer.session_id, resume_cursor=answer.cursor)
    assert not (await viewer.next()).snapshot.reset
    assert list((await viewer.next()).metric_data.series[0].values) == [2.0]


async def test_a_live_session_is_not_deleted(running):
    """Deleting is for sessions that have ended."""
    monitor, trainer = running
    request = dashboard_pb2.DeleteSessionRequest(session_id=trainer.session_id)
    await refused(
        monitor.dashboard.DeleteSession(request), Status.FAILED_PRECONDITION, "stop the training"
    )
    await trainer.status("STOPPED", sequence=2)
    await trainer.settle()
    await monitor.dashboard.DeleteSession(request)
    assert not (await monitor.dashboard.ListSessions(dashboard_pb2.ListSessionsRequest())).sessions


async def test_deleting_ends_viewers(running, watch):
    """Who watches a session that is deleted is told that there is none any more."""
    monitor, trainer = running
    viewer = await watch(monitor, trainer.session_id)
    await viewer.until("snapshot")
    await trainer.status("STOPPED", sequence=2)
    await trainer.settle()
    request = dashboard_pb2.DeleteSessionRequest(session_id=trainer.session_id)
    await monitor.dashboard.DeleteSession(request)
    assert (await viewer.ending()).status is Status.NOT_FOUND


async def test_the_oldest_ended_session_makes_room(start_monitor, open_trainer):
    """Sessions are bounded: the oldest ended goes; live ones do not."""
    async with start_monitor(max_sessions=2) as monitor:
        ended = await monitor.register(run_key="a", producer_id="p")
        trainer = await open_trainer(monitor, ended.session_id, "p")
        await trainer.status("COMPLETED", sequence=1)
        await trainer.settle()
        await monitor.register(run_key="b", producer_id="p")
        await monitor.register(run_key="c", producer_id="p")
        listed = await monitor.dashboard.ListSessions(dashboard_pb2.ListSessionsRequest())
        assert ended.session_id not in {each.session_id for each in listed.sessions}
        error = await refused(
            monitor.register(run_key="d", producer_id="p"), Status.RESOURCE_EXHAUSTED
        )
        assert "TRAINMON_MAX_SESSIONS" in error.message


async def test_closing_tells_every_stream(start_monitor, open_trainer, watch):
    """A monitor that closes ends trainings' and viewers' streams with UNAVAILABLE, at once."""
    async with start_monitor() as monitor:
        answer = await monitor.register(run_key="a", producer_id="p")
        trainer = await open_trainer(monitor, answer.session_id, "p")
        await trainer.settle()
        viewer = await watch(monitor, answer.session_id)
        await viewer.until("snapshot")
        ends = [asyncio.ensure_future(each.ending()) for each in (trainer, viewer)]
        await monitor.server.close()
        for end in await asyncio.gather(*ends):
            assert end.status is Status.UNAVAILABLE
            assert "shutting down" in end.message
