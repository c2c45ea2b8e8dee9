"""A batch that nothing is wrong with goes on to viewers as the bytes it came in."""

from __future__ import annotations

import pytest

from trainmon.fields import field_in, varint
from trainmon.v1.telemetry_pb2 import BatchData, GroundTruth, Prediction, TelemetryRequest

_BATCH = TelemetryRequest.BATCH_DATA_FIELD_NUMBER


def in_pieces(*parts: BatchData) -> bytes:
    """Return a batch as no serialiser would write it: its fields in the order of the parts."""
    return b"".join(part.SerializeToString() for part in parts)


def around(batch: bytes) -> bytes:
    """Return a request that holds the bytes of a batch."""
    before = TelemetryRequest(session_id="s", timestamp_ms=2**40).SerializeToString()
    after = TelemetryRequest(producer_id="p", checksum=7).SerializeToString()
    return before + varint(_BATCH << 3 | 2) + varint(len(batch)) + batch + after


def test_a_submessage_is_found_among_fields_of_every_kind():
    """Numbers, texts and checksums before and behind it are passed by."""
    batch = in_pieces(BatchData(batch_loss=0.5), BatchData(global_step=3))
    raw = around(batch)
    assert TelemetryRequest.FromString(raw).batch_data.global_step == 3
    assert bytes(field_in(raw, _BATCH)) == batch


@pytest.mark.parametrize(
    "raw",
    [
        TelemetryRequest(session_id="s").SerializeToString(),
        around(b"") + TelemetryRequest(batch_data=BatchData(epoch=1)).SerializeToString(),
        bytes([9 << 3 | 3, 9 << 3 | 4]) + around(b""),  # a group
        TelemetryRequest(timestamp_ms=1).SerializeToString() * 10_000 + around(b""),
    ],
    ids=["not there", "there twice", "beside a group", "beside too many"],
)
def test_a_submessage_that_cannot_be_told_by_its_bytes_is_not_found(raw):
    """What is merged from two, or stands among fields of a kind not known, is serialised anew."""
    TelemetryRequest.FromString(raw)
    assert field_in(raw, _BATCH) is None


@pytest.fixture
async def shown(running, monkeypatch):
    """Return what takes in a request's bytes, and gives those of the batch that viewers get."""
    monitor, trainer = running
    session = monitor.session(trainer.session_id)
    producer = session.producers["p"]
    payloads = []
    monkeypatch.setattr(
        session.hub, "publish_picture", lambda payload, **_: payloads.append(bytes(payload()))
    )

    async def take(raw: bytes) -> bytes:
        request = TelemetryRequest.FromString(raw)
        await monitor.backend._ingest.take(producer.link, session, producer, request, raw)
        return payloads.pop()

    return take


async def test_a_good_batch_is_not_serialised_again(shown, picture):
    """Its bytes, in an order that no serialiser makes, are those that viewers get."""
    samples = BatchData(images=[picture()], ground_truth=[GroundTruth(true_class=1)])
    batch = in_pieces(BatchData(global_step=4, batch_loss=0.5), samples, BatchData(epoch=2))
    assert await shown(around(batch)) == batch


async def test_what_was_mended_of_a_batch_is_what_viewers_get(shown, picture):
    """A size that was told wrong, a class out of range, surplus scores: never as they came."""
    image = picture()
    image.width = 99
    sized = await shown(around(in_pieces(BatchData(images=[image]))))
    assert BatchData.FromString(sized).images[0].width == picture().width
    wrong = BatchData(images=[picture()], predictions=[Prediction(predicted_class=-7)])
    classed = await shown(around(wrong.SerializeToString()))
    assert BatchData.FromString(classed).predictions[0].predicted_class == -1


async def test_steps_that_a_training_does_not_count_are_counted_here(
    monitor, open_trainer, monkeypatch
):
    """Of the original protocol, which has none: viewers get the number that history has."""
    session_id = (await monitor.register(session_name="old")).session_id
    trainer = await open_trainer(monitor, session_id)
    await trainer.send(batch_data=BatchData(batch_loss=1.0))
    await trainer.receive("acknowledgment")
    session = monitor.session(session_id)
    seen = []
    monkeypatch.setattr(
        session.hub, "publish_picture", lambda payload, **_: seen.append(bytes(payload()))
    )
    await trainer.send(batch_data=BatchData(batch_loss=1.0))
    await trainer.receive("acknowledgment")
    assert [BatchData.FromString(each).global_step for each in seen] == [1]
