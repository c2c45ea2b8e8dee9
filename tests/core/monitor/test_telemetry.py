"""A training and the monitor over a real socket: sessions, sequences, silence, ends."""

from __future__ import annotations

import asyncio

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from trainmon.v1 import dashboard_pb2, telemetry_pb2
from trainmon.v1.dashboard_pb2 import SessionState
from trainmon.v1.telemetry_pb2 import ErrorCode


async def state_of(monitor, session_id):
    """Return the name of a session's state, as the list tells it."""
    return SessionState.Name((await monitor.summary(session_id)).state)


async def assert_ends(trainer, code, status):
    """The error comes first, then the status."""
    error = await trainer.receive("error")
    assert ErrorCode.Name(error.code) == code
    assert (await trainer.ending()).status is status
    return error


async def test_registration_tells_what_is_wanted(monitor):
    """A registration is answered with a session and everything the monitor wants."""
    answer = await monitor.register(run_key="a", producer_id="p")
    config = answer.config
    assert answer.session_id
    assert not answer.HasField("stored_sequence")
    assert 1000 <= config.heartbeat_interval_ms <= 2000
    assert config.heartbeat_timeout_ms == 5000
    assert config.max_images == 16
    assert config.tile_size == 128
    assert config.image_quality == 85
    assert config.frames_per_second == 0
    assert 1 <= config.performance_every_n_batches <= 10
    assert config.max_message_bytes == 4 << 20
    assert answer.timestamp_ms > 0


async def test_registration_is_idempotent(monitor):
    """The same run key is the same session; none is always a new one."""
    first = await monitor.register(run_key="a", producer_id="p")
    again = await monitor.register(run_key="a", producer_id="p")
    rank = await monitor.register(run_key="a", producer_id="q", rank=1, world_size=2)
    other = await monitor.register(run_key="b", producer_id="p")
    nameless = {(await monitor.register()).session_id for _ in range(2)}
    assert first.session_id == again.session_id == rank.session_id != other.session_id
    assert len(nameless) == 2
    summary = await monitor.summary(first.session_id)
    assert [(each.rank, each.producer_id) for each in summary.ranks] == [(0, "p"), (1, "q")]


@pytest.mark.parametrize(
    ("fields", "status", "word"),
    [
        ({"protocol_version": 2}, Status.FAILED_PRECONDITION, "version 2"),
        ({"protocol_version": 0}, Status.FAILED_PRECONDITION, "version 1"),
        ({"run_key": "k" * 300}, Status.INVALID_ARGUMENT, "300"),
        ({"session_name": "n" * 257}, Status.INVALID_ARGUMENT, "session_name"),
        ({"class_names": ["c" * 1000] * 2000}, Status.INVALID_ARGUMENT, "class names"),
        ({"session_id": "../etc"}, Status.INVALID_ARGUMENT, "session_id"),
        ({"rank": 4, "world_size": 4}, Status.INVALID_ARGUMENT, "world_size"),
    ],
)
async def test_bad_registrations_are_refused_with_the_reason(monitor, fields, status, word):
    """Another protocol version, and fields out of range, are refused and say what is wrong."""
    with pytest.raises(GRPCError, match=word) as raised:
        await monitor.register(**fields)
    assert raised.value.status is status


async def test_sequenced_records_are_acknowledged_cumulatively(running, series):
    """Numbered records are committed once; a double is acknowledged and changes nothing."""
    monitor, trainer = running
    await trainer.send(2, metric_data=series("loss", [3.0]))
    await trainer.send(3, metric_data=series("loss", [2.0], first=1))
    await trainer.send(3, metric_data=series("loss", [9.0], first=1))
    while (await trainer.receive("acknowledgment")).acknowledged_sequence != 3:
        pass
    await trainer.settle()
    answer = await monitor.metrics(trainer.session_id)
    assert list(answer.series[0].values) == [3.0, 2.0]
    again = await monitor.register(run_key="run", producer_id="p")
    assert again.stored_sequence == 3


async def test_unsequenced_records_are_acknowledged_on_receipt(running, batch):
    """Each request without a number gets an acknowledgment without one."""
    _, trainer = running
    for step in range(3):
        await trainer.send(batch_data=batch(step))
    for _ in range(3):
        assert not (await trainer.receive("acknowledgment")).HasField("acknowledged_sequence")


async def test_a_gap_is_recorded_as_lost_history(running, series):
    """Numbers that are skipped are counted, and what follows is kept."""
    monitor, trainer = running
    await trainer.send(5, metric_data=series("loss", [1.0]))
    while (await trainer.receive("acknowledgment")).acknowledged_sequence != 5:
        pass
    assert monitor.session(trainer.session_id).producers["p"].sequences.missing == 3


async def test_a_message_may_hold_several_records(running, series):
    """As monitors say they take; those it says it holds leave no gap, and a double is one."""
    monitor, trainer = running
    again = await monitor.register(run_key="run", producer_id="other")
    assert again.config.takes_joined
    for _ in range(2):
        await trainer.send(4, joined=3, metric_data=series("loss", [1.0, 2.0, 3.0]))
    while (await trainer.receive("acknowledgment")).acknowledged_sequence != 4:
        pass
    await trainer.settle()
    answer = await monitor.metrics(trainer.session_id)
    assert list(answer.series[0].values) == [1.0, 2.0, 3.0]
    assert monitor.session(trainer.session_id).producers["p"].sequences.missing == 0


async def test_a_message_cannot_hold_more_records_than_there_were(running, series):
    """It is refused with the reason, and nothing else is."""
    _, trainer = running
    await trainer.send(2, joined=9, metric_data=series("loss", [1.0]))
    error = await trainer.receive("error")
    assert "should be 9 or more" in error.message
    await trainer.send(2, metric_data=series("loss", [1.0]))
    while (await trainer.receive("acknowledgment")).acknowledged_sequence != 2:
        pass


async def test_a_message_of_which_some_is_kept_ends_the_stream_and_doubles_nothing(
    running, series, open_trainer
):
    """Its rows cannot be told apart: whoever sends it has to ask what is kept."""
    monitor, trainer = running
    await trainer.send(2, joined=1, metric_data=series("loss", [1.0]))
    await trainer.send(4, joined=3, metric_data=series("loss", [1.0, 2.0, 3.0]))
    error = await trainer.receive("error")
    assert "holds 3 records up to 4, of which those up to 2 or more are kept" in error.message
    while await asyncio.wait_for(trainer.stream.recv_message(), 20) is not None:
        pass
    stored = (await monitor.register(run_key="run", producer_id="p")).stored_sequence
    assert stored == 2
    another = await open_trainer(monitor, trainer.session_id, "p")
    await another.send(4, joined=2, metric_data=series("loss", [2.0, 3.0], first=1))
    while (await another.receive("acknowledgment")).acknowledged_sequence != 4:
        pass
    answer = await monitor.metrics(trainer.session_id)
    assert list(answer.series[0].values) == [1.0, 2.0, 3.0]


async def test_an_unknown_session_is_created_again_under_its_id(monitor, open_trainer, series):
    """After a monitor's restart a client gets its session back; the gap is lost history."""
    answer = await monitor.register(run_key="a", producer_id="p", session_id="before-restart")
    assert answer.session_id == "before-restart"
    assert not answer.HasField("stored_sequence")
    trainer = await open_trainer(monitor, "before-restart", "p")
    await trainer.send(41, metric_data=series("loss", [1.0]))
    assert (await trainer.receive("acknowledgment")).acknowledged_sequence == 41
    assert monitor.session("before-restart").producers["p"].sequences.missing == 40
    same = await monitor.register(run_key="a", producer_id="p", session_id="before-restart")
    assert same.session_id == "before-restart"
    assert same.stored_sequence == 41


async def test_registering_again_supersedes_the_open_stream(running, open_trainer):
    """The same producer again takes over: the older stream ends at once, and says why."""
    monitor, trainer = running
    await monitor.register(run_key="run", producer_id="p")
    await assert_ends(trainer, "ERROR_CODE_SESSION_SUPERSEDED", Status.FAILED_PRECONDITION)
    assert await state_of(monitor, trainer.session_id) == "SESSION_STATE_RUNNING"
    newer = await open_trainer(monitor, trainer.session_id, "p")
    await newer.settle()
    assert await state_of(monitor, trainer.session_id) == "SESSION_STATE_RUNNING"


async def test_a_second_process_with_a_producers_id_takes_its_place(running, open_trainer):
    """A second stream of one producer wins; the first is told that ids must differ."""
    monitor, trainer = running
    second = await open_trainer(monitor, trainer.session_id, "p", own=True)
    await second.settle()
    error = await assert_ends(trainer, "ERROR_CODE_SESSION_SUPERSEDED", Status.FAILED_PRECONDITION)
    assert "producer_id" in error.message


async def test_what_a_superseded_stream_still_sends_is_not_kept(running, series):
    """Once superseded, a stream's data changes nothing."""
    monitor, trainer = running
    await monitor.register(run_key="run", producer_id="p")
    await trainer.send(2, metric_data=series("loss", [7.0]))
    await assert_ends(trainer, "ERROR_CODE_SESSION_SUPERSEDED", Status.FAILED_PRECONDITION)
    assert not (await monitor.metrics(trainer.session_id)).series


async def test_an_unknown_session_ends_the_stream(monitor, open_trainer):
    """Telemetry for a session nobody registered ends with NOT_FOUND."""
    trainer = await open_trainer(monitor, "nobody", "p")
    await trainer.beat()
    await assert_ends(trainer, "ERROR_CODE_UNKNOWN_SESSION", Status.NOT_FOUND)


async def test_an_unknown_producer_ends_the_stream(running, open_trainer):
    """Telemetry of a producer that did not register ends with NOT_FOUND."""
    monitor, trainer = running
    stranger = await open_trainer(monitor, trainer.session_id, "stranger")
    await stranger.beat()
    await assert_ends(stranger, "ERROR_CODE_UNKNOWN_SESSION", Status.NOT_FOUND)


async def test_data_of_an_ended_session_is_refused(running, batch):
    """After its last status a training may send no more data."""
    monitor, trainer = running
    await trainer.status("COMPLETED", sequence=2)
    await trainer.send(batch_data=batch(1))
    await assert_ends(trainer, "ERROR_CODE_SESSION_CLOSED", Status.FAILED_PRECONDITION)
    assert await state_of(monitor, trainer.session_id) == "SESSION_STATE_COMPLETED"


async def test_a_double_after_the_end_is_acknowledged(running, open_trainer):
    """A client that missed the last acknowledgment may send its end again."""
    monitor, trainer = running
    await trainer.status("COMPLETED", sequence=2)
    await trainer.settle()
    again = await monitor.register(run_key="run", producer_id="p")
    assert again.stored_sequence == 2
    second = await open_trainer(monitor, again.session_id, "p")
    await second.status("COMPLETED", sequence=2)
    assert (await second.receive("acknowledgment")).acknowledged_sequence == 2
    assert await state_of(monitor, again.session_id) == "SESSION_STATE_COMPLETED"


async def test_a_new_producer_continues_an_ended_run(running, open_trainer):
    """The same run key from another process goes on with the session."""
    monitor, trainer = running
    await trainer.status("FAILED", sequence=2)
    await trainer.settle()
    assert (await monitor.summary(trainer.session_id)).HasField("ended_ms")
    await monitor.register(run_key="run", producer_id="restarted")
    second = await open_trainer(monitor, trainer.session_id, "restarted")
    await second.status("RUNNING", sequence=1)
    await second.settle()
    summary = await monitor.summary(trainer.session_id)
    assert SessionState.Name(summary.state) == "SESSION_STATE_RUNNING"
    assert not summary.HasField("ended_ms")


async def test_heartbeats_are_answered(running):
    """Each heartbeat is answered with its own number and times."""
    _, trainer = running
    await trainer.beat(7)
    reply = await trainer.receive("heartbeat")
    assert (reply.sequence_number, reply.client_timestamp_ms) == (7, 123)
    assert reply.received_ms <= reply.sent_ms


async def test_silence_ends_the_stream(running):
    """After 5 s without a byte the training is told, the stream ends, the session is lost."""
    monitor, trainer = running
    monitor.pass_time(0)
    monitor.pass_time(4.9)
    assert await state_of(monitor, trainer.session_id) == "SESSION_STATE_RUNNING"
    monitor.pass_time(0.2)
    await assert_ends(trainer, "ERROR_CODE_CONNECTION_TIMEOUT", Status.DEADLINE_EXCEEDED)
    assert await state_of(monitor, trainer.session_id) == "SESSION_STATE_LINK_LOST"


async def test_a_stream_that_never_says_whose_it_is_ends(monitor, open_trainer):
    """Silence counts from the first moment, before any session is named."""
    trainer = await open_trainer(monitor, "any")
    await monitor.until(lambda: bool(monitor.backend._links))
    monitor.pass_time(5.1)
    await assert_ends(trainer, "ERROR_CODE_CONNECTION_TIMEOUT", Status.DEADLINE_EXCEEDED)


async def test_half_a_message_proves_life(running):
    """Bytes that arrive slowly are no silence, even if they make no message yet."""
    monitor, trainer = running
    source = trainer.stream._stream
    link = next(iter(monitor.backend._links))
    for data in (b"\0\0\1\0\0", b"some", b"more"):
        before = link._received()
        await source.send_data(data)
        await monitor.until(lambda before=before: link._received() > before)
        monitor.pass_time(0)
        monitor.pass_time(4)
    assert await state_of(monitor, trainer.session_id) == "SESSION_STATE_RUNNING"
    monitor.pass_time(2)
    await assert_ends_with_timeout(trainer)


async def assert_ends_with_timeout(trainer):
    """A warning may come before; then the silence ends the stream."""
    while (error := await trainer.receive("error")).code == ErrorCode.ERROR_CODE_HEARTBEAT_TIMEOUT:
        pass
    assert error.code == ErrorCode.ERROR_CODE_CONNECTION_TIMEOUT
    assert (await trainer.ending()).status is Status.DEADLINE_EXCEEDED


async def test_silence_is_not_called_missing_heartbeats(running):
    """Where nothing at all arrives there is no warning first, whenever the monitor looks."""
    monitor, trainer = running
    for _ in range(8):
        monitor.pass_time(0.7)
    await assert_ends(trainer, "ERROR_CODE_CONNECTION_TIMEOUT", Status.DEADLINE_EXCEEDED)


async def test_missing_heartbeats_are_a_warning(running, batch):
    """Messages without heartbeats bring a warning, once, and the stream goes on."""
    monitor, trainer = running
    for step in range(2):
        monitor.pass_time(2.4)
        await trainer.send(batch_data=batch(step))
        await trainer.receive("acknowledgment")
        monitor.pass_time(0)
    monitor.pass_time(2.4)
    monitor.pass_time(0)
    error = await trainer.receive("error")
    assert ErrorCode.Name(error.code) == "ERROR_CODE_HEARTBEAT_TIMEOUT"
    await trainer.settle()


async def test_a_stalled_training_looks_stalled(running):
    """A living process without steps is STALLED, and RUNNING when steps end again."""
    monitor, trainer = running
    await trainer.beat(1, "SILENT")
    await trainer.settle()
    assert await state_of(monitor, trainer.session_id) == "SESSION_STATE_STALLED"
    await trainer.beat(2, "STEPPING")
    await trainer.settle()
    assert await state_of(monitor, trainer.session_id) == "SESSION_STATE_RUNNING"


async def test_a_dead_training_looks_dead(running):
    """What the relay says of a vanished process is DIED, not FAILED."""
    monitor, trainer = running
    died = telemetry_pb2.TrainerLiveness.TRAINER_LIVENESS_DIED
    await trainer.status("FAILED", sequence=2, trainer=died, message="killed by signal 9")
    await trainer.settle()
    summary = await monitor.summary(trainer.session_id)
    assert SessionState.Name(summary.state) == "SESSION_STATE_DIED"
    assert summary.HasField("ended_ms")
    assert summary.status_message == "killed by signal 9"


async def test_a_stream_that_ends_without_a_goodbye_is_a_lost_link(running, open_trainer):
    """The link is lost when the stream just ends, and back when the next one opens."""
    monitor, trainer = running
    await trainer.stream.end()
    while await asyncio.wait_for(trainer.stream.recv_message(), 10) is not None:
        pass
    assert await state_of(monitor, trainer.session_id) == "SESSION_STATE_LINK_LOST"
    again = await open_trainer(monitor, trainer.session_id, "p")
    await again.settle()
    assert await state_of(monitor, trainer.session_id) == "SESSION_STATE_RUNNING"


async def test_a_registration_without_a_stream_is_a_lost_link(monitor):
    """Who registers and never opens a stream is not shown as starting for ever."""
    answer = await monitor.register(run_key="a", producer_id="p")
    monitor.pass_time(5.1)
    assert await state_of(monitor, answer.session_id) == "SESSION_STATE_LINK_LOST"


async def test_a_legacy_trainer_gives_a_loss_curve(monitor, open_trainer, batch):
    """Without producer, numbers and metrics the series `loss` comes from the batches."""
    answer = await monitor.register(session_name="old")
    trainer = await open_trainer(monitor, answer.session_id)
    for step in range(3):
        await trainer.send(batch_data=batch(step, batch_loss=float(step)))
    await trainer.settle()
    loss = (await monitor.metrics(answer.session_id)).series[0]
    assert (loss.name, list(loss.steps), list(loss.values)) == ("loss", [0, 1, 2], [0, 1, 2])
    summary = await monitor.summary(answer.session_id)
    assert SessionState.Name(summary.state) == "SESSION_STATE_RUNNING"
    assert (summary.global_step, summary.loss) == (2, 2.0)
    frame = await monitor.dashboard.GetBatch(
        dashboard_pb2.GetBatchRequest(session_id=answer.session_id, step=1)
    )
    assert frame.batch_data.global_step == 0


async def test_the_newest_loss_is_shown_though_rates_are_ahead(running, series):
    """Rates of a later step do not hide the loss of the newest step that has one."""
    monitor, trainer = running
    rates = telemetry_pb2.PerformanceData(global_step=100)
    await trainer.send(performance_data=rates)
    await trainer.send(2, metric_data=series("loss", [3.0, 2.0], first=90))
    await trainer.send(3, metric_data=series("loss", [9.0], first=80))
    await trainer.settle()
    summary = await monitor.summary(trainer.session_id)
    assert (summary.global_step, summary.loss) == (100, 2.0)


async def test_the_end_of_an_epoch_is_progress(monitor, open_trainer):
    """An epoch of which no picture came is still where the run is."""
    answer = await monitor.register(run_key="a", producer_id="p", batches_per_epoch=100)
    trainer = await open_trainer(monitor, answer.session_id, "p")
    await trainer.send(1, epoch_data=telemetry_pb2.EpochData(epoch=4))
    await trainer.settle()
    summary = await monitor.summary(answer.session_id)
    assert (summary.epoch, summary.batch_index) == (4, 99)


async def test_batches_without_steps_are_counted(monitor, open_trainer):
    """A trainer that sends epoch and batch but no step gets steps from 0."""
    answer = await monitor.register()
    trainer = await open_trainer(monitor, answer.session_id)
    for index in range(4):
        await trainer.send(
            batch_data=telemetry_pb2.BatchData(
                epoch=index // 2, batch_index=index % 2, batch_loss=5.0
            )
        )
    await trainer.settle()
    assert list((await monitor.metrics(answer.session_id)).series[0].steps) == [0, 1, 2, 3]
    summary = await monitor.summary(answer.session_id)
    assert (summary.epoch, summary.batch_index, summary.global_step) == (1, 1, 3)


async def test_a_producer_with_metric_data_stores_no_loss_twice(monitor, open_trainer, batch):
    """Who declared sends_metric_data gets no loss from its batches."""
    answer = await monitor.register(run_key="a", producer_id="p", sends_metric_data=True)
    trainer = await open_trainer(monitor, answer.session_id, "p")
    await trainer.send(1, batch_data=batch(0))
    await trainer.settle()
    assert not (await monitor.metrics(answer.session_id)).series


async def test_later_ranks_keep_series_of_their_own(monitor, open_trainer, series):
    """Two ranks with one name do not mix their rows."""
    for rank in range(2):
        answer = await monitor.register(
            run_key="a", producer_id=f"p{rank}", rank=rank, world_size=2, sends_metric_data=True
        )
        trainer = await open_trainer(monitor, answer.session_id, f"p{rank}")
        await trainer.send(1, metric_data=series("loss", [float(rank)]))
        await trainer.settle()
    found = {
        each.name: list(each.values) for each in (await monitor.metrics(answer.session_id)).series
    }
    assert found == {"loss": [0.0], "loss/rank1": [1.0]}


async def test_details_become_part_of_the_registration(running, watch):
    """What becomes known later is in the next viewer's snapshot."""
    monitor, trainer = running
    details = telemetry_pb2.SessionDetails(
        class_names=["cat", "dog"], total_epochs=5, hyperparameters={"lr": "0.1"}, notes=["hello"]
    )
    details.controls.add(name="learning_rate", title="Learning rate")
    await trainer.status("RUNNING", sequence=2, details=details)
    await trainer.settle()
    shot = (await (await watch(monitor, trainer.session_id)).next()).snapshot
    assert list(shot.registration.class_names) == ["cat", "dog"]
    assert shot.registration.session_name == "digits"
    assert shot.registration.hyperparameters["lr"] == "0.1"
    assert [each.name for each in shot.registration.controls] == ["learning_rate"]
    assert list(shot.notes) == ["hello"]
    assert shot.summary.total_epochs == 5


async def test_details_beyond_measure_are_dropped(running):
    """What is known of a run is bounded: the rest is refused with the limit, the status is kept."""
    monitor, trainer = running
    details = telemetry_pb2.SessionDetails(hyperparameters={"x": "y" * (2 << 20)})
    await trainer.status("PAUSED", sequence=2, details=details)
    error = await trainer.receive("error")
    assert "the limit is 1048576" in error.message
    await trainer.settle()
    assert await state_of(monitor, trainer.session_id) == "SESSION_STATE_PAUSED"
    assert not monitor.session(trainer.session_id).registration.hyperparameters


async def test_registering_again_keeps_what_became_known(running):
    """A reconnecting client that says little takes nothing away."""
    monitor, trainer = running
    details = telemetry_pb2.SessionDetails(class_names=["cat"])
    await trainer.status("RUNNING", sequence=2, details=details)
    await trainer.settle()
    await monitor.register(run_key="run", producer_id="p")
    registration = monitor.session(trainer.session_id).registration
    assert list(registration.class_names) == ["cat"]
    assert registration.session_name == "digits"
