"""Bad input: a clear error, nothing else harmed, memory flat."""

from __future__ import annotations

import asyncio
import math
import struct

import psutil
import pytest
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from hyperframe.frame import DataFrame

from trainmon.sealing import seal
from trainmon.v1 import telemetry_pb2
from trainmon.v1.dashboard_pb2 import WatchSessionRequest
from trainmon.v1.telemetry_pb2 import ErrorCode


async def complaint(trainer):
    """Return the next INVALID_MESSAGE's text."""
    error = await trainer.receive("error")
    assert ErrorCode.Name(error.code) == "ERROR_CODE_INVALID_MESSAGE"
    return error.message


async def newest(monitor, trainer):
    """Return the newest batch as viewers get it."""
    await trainer.settle()
    return monitor.session(trainer.session_id).newest_batch


def raw(width, height, data, form="jpeg", channels=3):
    """Return a picture made of any bytes."""
    return telemetry_pb2.ImageData(
        image_bytes=data, format=form, width=width, height=height, channels=channels
    )


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (raw(16, 16, b"no jpeg at all"), "no jpeg file"),
        (raw(16, 16, b""), "no jpeg file"),
        (raw(16, 16, b"\xff\xd8\xff\xe0\x00\x10JFIF"), "no jpeg file"),
        (raw(16, 16, b"\x89PNG\r\n\x1a\n", "png"), "no png file"),
        (raw(16, 16, b"GIF89a", "gif"), "format is 'gif'"),
    ],
)
async def test_bytes_that_are_no_picture_are_dropped(running, batch, bad, words):
    """The bad picture goes with its sample; the other samples and the loss are kept."""
    monitor, trainer = running
    sent = batch(3, samples=3)
    sent.images[1].CopyFrom(bad)
    sent.predictions[2].predicted_class = 7
    await trainer.send(batch_data=sent)
    told = await complaint(trainer)
    assert words in told
    assert "images[1]" in told
    kept = await newest(monitor, trainer)
    assert len(kept.images) == len(kept.predictions) == len(kept.ground_truth) == 2
    assert kept.predictions[1].predicted_class == 7
    assert (await monitor.metrics(trainer.session_id)).series[0].values[0] == 0.25


async def test_masks_that_are_no_pictures_are_dropped(running, batch):
    """A bad mask goes, the sample stays."""
    monitor, trainer = running
    sent = batch(1, samples=1)
    sent.predictions[0].mask.CopyFrom(raw(8, 8, b"?", "png"))
    await trainer.send(batch_data=sent)
    assert "mask was dropped" in await complaint(trainer)
    kept = await newest(monitor, trainer)
    assert not kept.predictions[0].HasField("mask")
    assert len(kept.images) == 1


async def test_half_a_message_ends_nothing_else(running, open_trainer):
    """A stream that ends within a message is a lost link; the next one works."""
    monitor, trainer = running
    await trainer.stream._stream.send_data(b"\0\0\0\1\0half", end_stream=True)
    trainer.stream._end_done = True
    assert (await trainer.ending()).status is Status.OK
    again = await open_trainer(monitor, trainer.session_id, "p")
    await again.settle()


async def test_message_changed_on_its_way_ends_the_stream(running):
    """A message that disagrees with its checksum is not taken, and the stream ends."""
    monitor, trainer = running

    async def send_sealed(sequence, spoil=lambda data: data):
        series = telemetry_pb2.MetricSeries(name="loss", steps=[sequence], values=[0.5], times=[1])
        request = telemetry_pb2.TelemetryRequest(
            session_id=trainer.session_id,
            producer_id=trainer.producer_id,
            metric_data=telemetry_pb2.MetricData(series=[series]),
            sequence=sequence,
        )
        data = spoil(seal(request.SerializeToString()))
        await trainer.stream._stream.send_data(struct.pack(">?I", False, len(data)) + data)

    await send_sealed(11)
    await trainer.receive("acknowledgment")
    await send_sealed(
        12, lambda data: data.replace(struct.pack("<d", 0.5), struct.pack("<d", 0.25))
    )
    assert "changed on its way" in await complaint(trainer)
    assert (await trainer.ending()).status is Status.DATA_LOSS
    [kept] = (await monitor.metrics(trainer.session_id)).series
    assert list(kept.steps) == [11]


async def test_compressed_messages_are_refused(running):
    """Compression was not negotiated: UNIMPLEMENTED, not garbage."""
    _, trainer = running
    await trainer.stream._stream.send_data(b"\1\0\0\0\1x")
    assert (await trainer.ending()).status is Status.UNIMPLEMENTED


def test_frames_are_not_spelled_out():
    """What h2 writes of each frame for its log costs nothing, however large the frame."""
    assert repr(DataFrame(1, bytes(1 << 20))).endswith("<1048576 bytes>")


@pytest.mark.parametrize(("width", "height", "kept"), [(1, 1, 1), (512, 512, 1), (4000, 4000, 0)])
async def test_pictures_of_extreme_sizes(running, picture, width, height, kept):
    """1x1 and 512x512 are pictures; 4000x4000 is refused with its size and the limit."""
    monitor, trainer = running
    image = picture(width, height, "png")
    await trainer.send(batch_data=telemetry_pb2.BatchData(global_step=1, images=[image]))
    if not kept:
        told = await complaint(trainer)
        assert "4000x4000" in told
        assert "512" in told
    assert len((await newest(monitor, trainer)).images) == kept


async def test_a_size_that_lies_is_corrected(running, picture):
    """The encoded size counts; a picture that hides 4000 pixels behind 64 is refused."""
    monitor, trainer = running
    swapped, liar = picture(20, 10), picture(4000, 8)
    swapped.width, swapped.height = 10, 20
    liar.width = 64
    await trainer.send(batch_data=telemetry_pb2.BatchData(images=[swapped, liar]))
    assert "4000x8" in await complaint(trainer)
    (image,) = (await newest(monitor, trainer)).images
    assert (image.width, image.height) == (20, 10)


async def test_too_many_samples_are_cut(running, batch):
    """More than 16 samples: the first 16 are kept."""
    monitor, trainer = running
    await trainer.send(batch_data=batch(1, samples=20))
    assert "20 samples, the limit is 16" in await complaint(trainer)
    kept = await newest(monitor, trainer)
    assert len(kept.images) == len(kept.predictions) == 16


async def test_arrays_that_do_not_align_are_dropped(running, batch):
    """An array of another length cannot be told apart by index, so it goes."""
    monitor, trainer = running
    sent = batch(1, samples=4)
    del sent.predictions[3]
    sent.sample_losses.extend([1, 2, 3, math.nan])
    await trainer.send(batch_data=sent)
    assert "predictions has 3 entries for 4 samples" in await complaint(trainer)
    kept = await newest(monitor, trainer)
    assert (len(kept.images), len(kept.predictions), len(kept.sample_losses)) == (4, 0, 4)


@pytest.mark.parametrize(("predicted", "words"), [(-5, "-5"), (2, "0 to 1")])
async def test_classes_that_do_not_exist_are_taken_as_none(running, batch, predicted, words):
    """A class below -1 or outside the names becomes -1; its number stays readable as a label."""
    monitor, trainer = running
    details = telemetry_pb2.SessionDetails(class_names=["cat", "dog"])
    await trainer.status("RUNNING", sequence=2, details=details)
    sent = batch(1, samples=1)
    sent.predictions[0].predicted_class = predicted
    sent.predictions[0].top_k_scores.add(class_index=0)
    sent.predictions[0].top_k_scores.add(class_index=99)
    await trainer.send(batch_data=sent)
    assert words in await complaint(trainer)
    prediction = (await newest(monitor, trainer)).predictions[0]
    assert prediction.predicted_class == -1
    assert [each.class_index for each in prediction.top_k_scores] == [0]
    if predicted > 0:
        assert prediction.predicted_label == "class 2"


async def test_losses_that_are_not_finite_are_values(running, batch, series):
    """NaN and infinities are stored and shown, without complaint."""
    monitor, trainer = running
    for step, value in enumerate((math.nan, math.inf, -math.inf)):
        await trainer.send(batch_data=batch(step, batch_loss=value))
    await trainer.settle()
    (loss,) = (await monitor.metrics(trainer.session_id)).series
    assert math.isnan(loss.values[0])
    assert list(loss.values[1:]) == [math.inf, -math.inf]
    assert (await monitor.summary(trainer.session_id)).loss == -math.inf
    assert not monitor.session(trainer.session_id).errors


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "", "steps": [1], "times": [1], "values": [1]}, "0 characters"),
        ({"name": "a", "steps": [1], "times": [1], "values": [1, 2]}, "values has 2 rows"),
        ({"name": "a", "steps": [0.5], "times": [1], "values": [1]}, "whole number"),
        ({"name": "a", "steps": [-1], "times": [1], "values": [1]}, "whole number"),
        ({"name": "a", "steps": [math.nan], "times": [1], "values": [1]}, "whole number"),
        (
            {"name": "a", "steps": [1], "times": [1], "values": [1], "minimums": [1]},
            "maximums has 0 rows",
        ),
    ],
)
async def test_series_that_cannot_be_stored_are_dropped(running, series, fields, words):
    """The bad series goes, the good one beside it stays, and the number is committed."""
    monitor, trainer = running
    data = series("good", [1.0])
    data.series.append(telemetry_pb2.MetricSeries(**fields))
    await trainer.send(2, metric_data=data)
    assert words in await complaint(trainer)
    await trainer.settle()
    assert [each.name for each in (await monitor.metrics(trainer.session_id)).series] == ["good"]
    assert monitor.session(trainer.session_id).producers["p"].sequences.stored == 2


async def test_messages_without_sense_do_not_end_the_stream(running):
    """No payload, number 0, another session's id, bytes of nothing: told, and it goes on."""
    _, trainer = running
    await trainer.send()
    assert "nothing" in await complaint(trainer)
    await trainer.status("RUNNING", sequence=0)
    assert "sequence is 0" in await complaint(trainer)
    await trainer.stream.send_message(telemetry_pb2.TelemetryRequest(session_id="other"))
    assert "open one stream for each" in await complaint(trainer)
    data = b"\xff\xff\xff"
    await trainer.stream._stream.send_data(struct.pack(">?I", False, len(data)) + data)
    assert "cannot be decoded" in await complaint(trainer)
    await trainer.settle()


async def test_viewers_hear_of_errors(running, watch, batch):
    """What was wrong is shown to viewers, but a flood of one kind only once a second."""
    monitor, trainer = running
    viewer = await watch(monitor, trainer.session_id)
    await viewer.until("snapshot")
    for step in range(20):
        await trainer.send(batch_data=batch(step, samples=17))
        await complaint(trainer)
    event = await viewer.until("error")
    assert "the limit is 16" in event.error.message
    assert len(monitor.session(trainer.session_id).errors) < 20


async def test_an_announced_giant_is_refused_unread(running):
    """A prefix of 300 MB is refused at once; memory stays flat while the peer goes on sending."""
    monitor, trainer = running
    before = psutil.Process().memory_info().rss
    source = trainer.stream._stream
    await source.send_data(struct.pack(">?I", False, 300 << 20))
    error = await trainer.receive("error")
    assert ErrorCode.Name(error.code) == "ERROR_CODE_MESSAGE_TOO_LARGE"
    assert str(300 << 20) in error.message
    chunk = bytes(1 << 20)
    for _ in range(60):
        await asyncio.wait_for(source.send_data(chunk), 10)
    assert (await trainer.ending()).status is Status.RESOURCE_EXHAUSTED
    assert psutil.Process().memory_info().rss - before < 30 << 20
    await monitor.register(run_key="run", producer_id="p")


async def test_unary_calls_have_the_same_limit(monitor):
    """An oversized registration is RESOURCE_EXHAUSTED, one of garbage INVALID_ARGUMENT."""
    with pytest.raises(GRPCError) as raised:
        await monitor.register(session_name="x" * (5 << 20))
    assert raised.value.status is Status.RESOURCE_EXHAUSTED
    async with monitor.telemetry.RegisterTrainingSession.open() as stream:
        await stream.send_request()
        await stream._stream.send_data(b"\0\0\0\0\x03\xff\xff\xff", end_stream=True)
        stream._end_done = True
        with pytest.raises(GRPCError, match="cannot be decoded") as raised:
            await stream.recv_initial_metadata()
    assert raised.value.status is Status.INVALID_ARGUMENT


async def test_a_stalled_viewer_holds_bounded_bytes(start_monitor, open_trainer, series):
    """Who never reads is ended with RESOURCE_EXHAUSTED; meanwhile its queue is bounded."""
    limit = 1 << 17
    async with start_monitor(viewer_queue_bytes=limit) as monitor:
        answer = await monitor.register(run_key="a", producer_id="p")
        trainer = await open_trainer(monitor, answer.session_id, "p")
        channel = Channel("127.0.0.1", monitor.server.port)
        session = monitor.session(answer.session_id)
        try:
            await stalled_viewer(channel, answer.session_id)
            await monitor.until(lambda: session.hub.viewers == 1)
            (viewer,) = session.hub._viewers
            most = 0
            sequence = 0
            while not viewer.over:
                sequence += 1
                data = series("loss", [0.0] * 2000, first=sequence * 2000)
                await trainer.send(sequence, metric_data=data)
                await trainer.receive("acknowledgment")
                most = max(most, viewer.queued_bytes)
                assert sequence < 1000
            assert most <= limit
            await monitor.until(lambda: session.hub.viewers == 0)
            assert viewer._status is Status.RESOURCE_EXHAUSTED
            assert viewer.queued_bytes == 0
        finally:
            channel.close()


async def stalled_viewer(channel, session_id):
    """Open a viewer's stream whose connection is never read again."""
    protocol = await channel.__connect__()
    stream = protocol.processor.connection.create_stream()
    request = WatchSessionRequest(session_id=session_id).SerializeToString()
    await stream.send_request(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/trainmon.v1.DashboardService/WatchSession"),
            (":authority", "x"),
            ("te", "trailers"),
            ("content-type", "application/grpc+proto"),
        ],
        _processor=protocol.processor,
    )
    await stream.send_data(struct.pack(">?I", False, len(request)) + request, end_stream=True)
    protocol.connection._transport.pause_reading()
