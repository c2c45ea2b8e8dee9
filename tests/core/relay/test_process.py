"""The whole relay: a real process on a real channel, a real gRPC stream, a monitor that obeys."""

from __future__ import annotations

import io
import math
import os
import signal
import time

import numpy as np
import pytest
from PIL import Image

from trainmon.channel import EXIT_FINAL, Kind, Real, Word, pack_json
from trainmon.channel.frames import SLOTS
from trainmon.v1.control_pb2 import ControlType
from trainmon.v1.telemetry_pb2 import (
    ConvergenceStatus,
    TrainerLiveness,
)

# --- registration and records ---------------------------------------------------------------------


async def test_a_run_is_registered_as_it_was_told(monitor, trainer):
    """Keys, names, lengths, controls and the declaration that scalars come as MetricData."""
    control = {"name": "dropout", "title": "Dropout", "type": "NUMBER", "minimum": 0.0}
    trainer.hello["details"] = {"total_epochs": 3, "controls": [control]}
    trainer.start()
    await monitor.wait(lambda: monitor.registrations, "a registration")
    [request] = monitor.registrations
    assert (request.run_key, request.producer_id) == ("run-1", "producer-1")
    assert request.protocol_version == 1
    assert request.sends_metric_data
    assert request.class_names[3] == "class 3"
    assert request.total_epochs == 3
    assert not request.HasField("batches_per_epoch")
    assert (request.pid, request.world_size) == (os.getpid(), 1)
    assert request.controls[0].name == "dropout"
    assert request.controls[0].type == ControlType.CONTROL_TYPE_NUMBER
    assert request.controls[0].minimum == 0
    assert not request.controls[0].HasField("maximum")


async def test_every_step_arrives_once_in_contiguous_records(monitor, linked):
    """Losses and metrics by name, each value as it was, NaN and infinities included."""
    linked.steps(500, metrics={"accuracy": 0.5, "odd": math.nan})
    linked.steps(1, loss=math.inf)
    await monitor.wait(lambda: len(monitor.losses()) == 501, "501 losses")
    losses = monitor.losses()
    assert [losses[step] for step in range(500)] == [float(step) for step in range(500)]
    assert losses[500] == math.inf
    names = {each.name for data in monitor.of("metric_data") for each in data.series}
    assert names == {"loss", "accuracy", "odd"}
    sequences = monitor.sequences()
    assert sequences == list(range(1, len(sequences) + 1))
    assert len(sequences) < 50  # many steps in one message


async def test_the_first_step_says_that_the_training_runs(monitor, linked):
    """The training need not say it; and it is said once."""
    await monitor.wait(lambda: monitor.statuses() == ["STARTING"], "STARTING")
    linked.steps(3)
    await monitor.wait(lambda: len(monitor.losses()) == 3, "the losses")
    assert monitor.statuses() == ["STARTING", "RUNNING"]


async def test_epochs_carry_mean_loss_and_convergence(monitor, linked):
    """The mean of the batch losses where none is told, and the judgement of the relay."""
    linked.steps(4)
    linked.tell(Kind.EPOCH, epoch=0, global_step=3, duration_ms=12.5, metrics={"f1": 0.25})
    linked.tell(Kind.EPOCH, epoch=1, global_step=7, average_loss=100.0, validation_loss=math.nan)
    await monitor.wait(lambda: len(monitor.of("epoch_data")) == 2, "two epochs")
    first, second = monitor.of("epoch_data")
    assert (first.average_loss, first.duration_ms, first.global_step) == (1.5, 12, 3)
    assert dict(first.metrics) == {"f1": 0.25}
    assert first.convergence_status == ConvergenceStatus.CONVERGENCE_STATUS_IMPROVING
    assert not first.HasField("validation_loss")
    assert second.average_loss == 100
    assert second.convergence_status == ConvergenceStatus.CONVERGENCE_STATUS_DIVERGING


async def test_what_becomes_known_later_is_told_and_registered_anew(monitor, linked):
    """As details of a state at once, and in the next registration."""
    linked.tell(Kind.DETAILS, batches_per_epoch=50, hyperparameters={"lr": "0.1"}, notes=["chosen"])
    found = await monitor.wait(
        lambda: [each for each in monitor.of("status_update") if each.details.notes], "details"
    )
    assert found[0].details.batches_per_epoch == 50
    assert list(found[0].details.notes) == ["chosen"]
    await monitor.stop()
    await monitor.start()
    await monitor.wait(lambda: len(monitor.registrations) == 2, "another registration")
    assert monitor.registrations[1].batches_per_epoch == 50
    assert monitor.registrations[1].hyperparameters["lr"] == "0.1"


async def test_a_bad_record_is_counted_and_stops_no_other(monitor, linked):
    """Garbage, an unknown kind, an unknown state: the step behind them arrives."""
    for payload in (b"\xff???", b"\x04{", pack_json(Kind.STATUS, {"status": "ASLEEP"}), b"\x08[]"):
        assert linked.channel.records.write(payload)
    linked.steps(1)
    await monitor.wait(monitor.losses, "the step")
    counts = await monitor.wait(
        lambda: [
            loss.count
            for data in monitor.of("performance_data")
            for loss in data.losses
            if (loss.kind, loss.reason) == ("relay", "invalid_record")
        ],
        "the count",
    )
    assert counts[0] == 4
    assert linked.errors.count("could not be used") == 4


# --- pictures -------------------------------------------------------------------------------------


async def test_a_live_picture_arrives_whole_and_its_slot_is_free_again(monitor, linked, eventually):
    """Tiles of the size asked for, predictions, truths; best effort, so without a number."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (16, 100, 100, 3), dtype=np.uint8)
    outputs, targets = rng.normal(size=(16, 10)), np.arange(16) % 10
    linked.steps(8)
    slot = linked.frame({"images": images, "outputs": outputs, "targets": targets})
    [batch] = await monitor.wait(lambda: monitor.of("batch_data"), "a picture")
    [request] = [each for each in monitor.requests if each.HasField("batch_data")]
    assert not request.HasField("sequence")
    assert (batch.global_step, batch.batch_size, batch.batch_loss) == (7, 32, 1.0)
    assert len(batch.images) == len(batch.predictions) == len(batch.ground_truth) == 16
    for image in batch.images:
        assert (image.format, image.width, image.height, image.channels) == ("jpeg", 64, 64, 3)
        assert Image.open(io.BytesIO(image.image_bytes)).size == (64, 64)
    assert [each.true_class for each in batch.ground_truth] == targets.tolist()
    assert [each.predicted_class for each in batch.predictions] == outputs.argmax(1).tolist()
    await eventually(lambda: linked.words[Word.SLOT_0 + slot] == 0, "the slot is free")


async def test_a_key_frame_is_kept_and_sent_with_a_number(monitor, linked):
    """Also when nobody watches; one that is live as well goes once."""
    images = np.zeros((2, 8, 8), np.uint8)
    linked.frame({"images": images}, live=False, key_frame=True, global_step=1)
    linked.frame({"images": images}, live=True, key_frame=True, global_step=2)
    linked.steps(1)
    await monitor.wait(lambda: len(monitor.of("batch_data")) == 2 and monitor.losses(), "both")
    found = [each for each in monitor.requests if each.HasField("batch_data")]
    assert [each.batch_data.global_step for each in found] == [1, 2]
    assert all(each.HasField("sequence") for each in found)


async def test_a_picture_too_large_for_the_monitor_is_sent_smaller(monitor, linked):
    """The tiles are halved until the message fits; it is never refused for its size."""
    await monitor.configure(max_message_bytes=65536)
    noise = np.random.default_rng(0).integers(0, 256, (16, 128, 128, 3), dtype=np.uint8)
    # What was asked before the limit was known may still come large.
    linked.frame({"images": noise}, tile_size=128)
    await monitor.wait(lambda: monitor.of("batch_data"), "a picture")
    linked.frame({"images": noise}, tile_size=128)
    await monitor.wait(lambda: len(monitor.of("batch_data")) > 1, "another picture")
    [request] = [each for each in monitor.requests if each.HasField("batch_data")][1:]
    assert request.ByteSize() <= 65536
    assert len(request.batch_data.images) == 16
    assert request.batch_data.images[0].width == 64


async def test_a_picture_that_cannot_be_shown_leaves_the_rest_of_its_frame(monitor, linked):
    """Predictions are shown, the reason is told once as a note, the next frame is whole."""
    odd, outputs = np.zeros((2, 4, 4, 7), np.float32), np.zeros((2, 10))
    for _ in range(2):
        linked.frame({"images": odd, "outputs": outputs})
        await monitor.wait(lambda: monitor.of("batch_data"), "the frame")
    await monitor.wait(lambda: len(monitor.of("batch_data")) == 2, "both frames")
    assert all(not each.images and each.predictions for each in monitor.of("batch_data"))
    linked.steps(1)
    await monitor.wait(monitor.losses, "the step")
    notes = [note for each in monitor.of("status_update") for note in each.details.notes]
    assert len(notes) == 1
    assert "images of shape (2, 4, 4, 7)" in notes[0]


async def test_of_frames_that_wait_the_newest_is_encoded(monitor, linked, eventually):
    """However fast they come, no slot is lost and every thinned picture is counted."""
    images = np.zeros((16, 512, 512, 3), np.uint8)
    sent = 0
    for _ in range(30):
        await eventually(lambda: linked.channel.slots.free_slot() is not None, "a free slot")
        linked.frame({"images": images}, global_step=sent)
        sent += 1
    await eventually(
        lambda: all(linked.words[Word.SLOT_0 + slot] == 0 for slot in range(SLOTS)), "free slots"
    )

    def accounted() -> bool:
        thinned = {
            (loss.kind, loss.reason): loss.count
            for data in monitor.of("performance_data")[-1:]
            for loss in data.losses
        }
        assert all(kind == "picture" for kind, _ in thinned)
        return len(monitor.of("batch_data")) + sum(thinned.values()) == sent

    await monitor.wait(accounted, "each picture is sent or counted")
    steps = [each.global_step for each in monitor.of("batch_data")]
    assert steps == sorted(steps)
    assert steps[-1] == sent - 1


# --- demand, liveness, rates ----------------------------------------------------------------------


async def test_what_viewers_want_reaches_the_training(monitor, linked, eventually):
    """Rate, tile and number; nothing is asked for while the link is down."""
    words, reals = linked.words, linked.reals
    assert reals[Real.FRAMES_PER_SECOND] == 0
    assert words[Word.LINK_LOST_NS] == 0
    await monitor.configure(frames_per_second=15.0, tile_size=96, max_images=9)
    await eventually(lambda: reals[Real.FRAMES_PER_SECOND] == 15, "the rate")
    assert (words[Word.TILE_SIZE], words[Word.MAX_IMAGES]) == (96, 9)
    before = time.monotonic_ns()
    await monitor.stop()
    await eventually(lambda: words[Word.LINK_LOST_NS], "the loss of the link")
    assert words[Word.LINK_LOST_NS] >= before
    assert reals[Real.FRAMES_PER_SECOND] == 0
    await monitor.start()
    await eventually(lambda: reals[Real.FRAMES_PER_SECOND] == 15, "the rate again")
    assert words[Word.LINK_LOST_NS] == 0


async def test_heartbeats_tell_what_is_seen_of_the_training(monitor, trainer):
    """Stepping with the age of the last step; silent after too long without one."""
    trainer.environment["TRAINMON_STALL_AFTER"] = "1"
    trainer.start()
    beats = lambda: monitor.of("heartbeat")  # noqa: E731 - read as often as it is waited for
    await monitor.wait(beats, "a heartbeat")
    assert not beats()[0].HasField("last_step_age_ms")
    trainer.steps(2)
    stepping = TrainerLiveness.TRAINER_LIVENESS_STEPPING
    silent = TrainerLiveness.TRAINER_LIVENESS_SILENT
    await monitor.wait(lambda: beats()[-1].HasField("last_step_age_ms"), "an age")
    assert beats()[-1].trainer == stepping
    await monitor.wait(lambda: beats()[-1].trainer == silent, "silence")
    assert beats()[-1].last_step_age_ms >= 1000
    trainer.steps(1)
    await monitor.wait(lambda: beats()[-1].trainer == stepping, "steps again")
    numbers = [each.sequence_number for each in beats()]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_rates_and_resources_are_told(monitor, linked):
    """At least once a second, with the clock's offset once heartbeats were answered."""
    linked.words[Word.REFUSED_SCALARS] = 3
    linked.steps(50)

    def complete() -> list:
        return [
            each
            for each in monitor.of("performance_data")
            if each.HasField("clock_offset_ms") and each.memory_bytes and each.global_step == 49
        ]

    found = (await monitor.wait(complete, "performance data"))[0]
    assert found.current_fps > 0
    assert found.cpu_count == os.cpu_count()
    assert found.relay_memory_bytes > 1 << 20
    assert found.host_memory_total_bytes > found.host_memory_used_bytes > 0
    assert abs(found.clock_offset_ms) < 1000
    assert 0 <= found.round_trip_ms < 5000
    refused = [loss for loss in found.losses if loss.reason == "buffer_full"]
    assert [(loss.kind, loss.count, loss.best_effort) for loss in refused] == [
        ("scalars", 3, False)
    ]


async def test_beyond_its_budget_the_relay_asks_for_less(monitor, trainer, eventually):
    """The rate wanted falls below what viewers want while encoding costs too much."""
    trainer.environment["TRAINMON_OVERHEAD_BUDGET"] = "0.01"
    monitor.config.frames_per_second = 60.0
    trainer.start()
    await monitor.wait(lambda: monitor.of("heartbeat"), "a heartbeat")
    rate = trainer.reals
    await eventually(lambda: rate[Real.FRAMES_PER_SECOND] > 0, "a wish")
    images = np.random.default_rng(0).integers(0, 256, (16, 256, 256, 3), dtype=np.uint8)

    def lowered() -> bool:
        if trainer.channel.slots.free_slot() is not None:
            trainer.frame({"images": images}, tile_size=256)
        return rate[Real.FRAMES_PER_SECOND] < 30

    await eventually(lowered, "less is asked for")
    assert rate[Real.FRAMES_PER_SECOND] > 0


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["COMPLETED", "STOPPED", "FAILED"])
async def test_after_the_goodbye_all_is_delivered_and_the_relay_is_gone(monitor, linked, status):
    """The last state is the last record, after steps and pictures still under way."""
    linked.steps(50)
    linked.frame({"images": np.zeros((16, 64, 64), np.uint8)}, key_frame=True)
    linked.tell(Kind.CLOSE, status=status, message="over", global_step=49)
    assert await linked.ended() == EXIT_FINAL
    assert linked.words[Word.DELIVERED] == 1
    assert len(monitor.losses()) == 50
    assert len(monitor.of("batch_data")) == 1
    last = [each for each in monitor.requests if each.HasField("sequence")][-1]
    assert monitor.statuses()[-1] == status
    assert (last.status_update.message, last.status_update.global_step) == ("over", 49)
    assert linked.errors == ""
    assert not linked.spool.exists()


async def test_without_a_monitor_the_relay_lingers_and_then_goes(monitor, trainer):
    """Not for ever; nothing counts as delivered; one line tells where it waits, and what to do."""
    await monitor.stop()
    trainer.environment["TRAINMON_RELAY_LINGER"] = "0.5"
    trainer.start()
    trainer.steps(5)
    trainer.tell(Kind.CLOSE, status="COMPLETED")
    assert await trainer.ended() == EXIT_FINAL
    assert trainer.words[Word.DELIVERED] == 0
    assert trainer.errors.count("\n") == 1
    assert "3 records of a run could not be delivered" in trainer.errors
    assert f"; what is in {trainer.spool} waits there for `trainmon sync`" in trainer.errors
    assert trainer.spool.is_dir()


async def test_a_monitor_that_comes_while_the_relay_lingers_gets_everything(monitor, trainer):
    """The training is over; its records are not."""
    await monitor.stop()
    trainer.start()
    trainer.steps(5)
    trainer.tell(Kind.CLOSE, status="COMPLETED")
    trainer.wake.close()
    await monitor.start()
    assert await trainer.ended() == EXIT_FINAL
    assert len(monitor.losses()) == 5
    assert monitor.statuses()[-1] == "COMPLETED"


async def test_terminated_it_delivers_what_it_can_and_exits_with_0(monitor, linked):
    """So that another relay follows; Ctrl-C means nothing to it."""
    linked.process.send_signal(signal.SIGINT)
    linked.steps(30)
    linked.process.send_signal(signal.SIGTERM)
    assert await linked.ended() == 0
    assert len(monitor.losses()) == 30
    assert "COMPLETED" not in monitor.statuses()


async def test_terminated_without_a_monitor_it_still_ends(monitor, linked):
    """Two seconds, not the linger."""
    await monitor.stop()
    linked.steps(30)
    linked.process.send_signal(signal.SIGTERM)
    assert await linked.ended() == 0


async def test_a_relay_that_was_let_go_leaves_the_ring_to_others(monitor, linked):
    """The training lives and has closed its end: it may have started another relay."""
    linked.steps(1)
    await monitor.wait(monitor.losses, "a loss")
    linked.wake.close()
    assert await linked.ended() == EXIT_FINAL
    assert "FAILED" not in monitor.statuses()
