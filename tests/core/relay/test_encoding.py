"""Frames: from slots to messages, in a thread, with what plugins draw."""

from __future__ import annotations

import asyncio
import io
import math

import numpy as np
import pytest
from PIL import Image

from trainmon.channel import TrainerChannel, Word
from trainmon.relay.encoder import Encoder
from trainmon.relay.frame import Frame
from trainmon.relay.losses import LossCounter
from trainmon.relay.predictions import Labels
from trainmon.v1.telemetry_pb2 import BatchData


def read(arrays: dict, render=None, **fields) -> BatchData:
    """Return the message of a frame; fail where something of it could not be shown."""
    frame = Frame({"tile_size": 64, "global_step": 5, **fields}, Labels())
    frame.read({name: np.asarray(array) for name, array in arrays.items()}, render)
    assert frame.problems == []
    message = frame.message(85, 4 << 20)
    assert message is not None
    return message


def pixels(image) -> np.ndarray:
    """Return the decoded picture."""
    return np.asarray(Image.open(io.BytesIO(image.image_bytes)))


@pytest.mark.parametrize(
    ("shape", "first", "channels"),
    [
        ((3, 32, 32), False, 1),
        ((3, 32, 32, 3), False, 3),
        ((3, 32, 32, 4), False, 4),
        ((3, 1, 32, 32), True, 1),
        ((3, 3, 32, 32), True, 3),
        ((3, 4, 32, 32), True, 4),
        ((1, 1, 1), False, 1),
        ((1, 4000, 4000, 3), False, 3),
    ],
)
def test_pictures_of_every_layout_are_shown_as_they_are(shape, first, channels):
    """Grey, RGB and RGBA, channels first or last, from 1×1 to 4000×4000."""
    images = np.random.default_rng(0).random(shape).astype(np.float32)
    batch = read({"images": images}, channels_first=first)
    assert len(batch.images) == shape[0]
    assert all(image.channels == channels for image in batch.images)
    if shape[1] == 32 or shape[-1] == 32:
        expected = np.moveaxis(images, 1, -1) if first else images
        found = pixels(batch.images[0]).reshape(expected[0].shape)
        assert (found == (expected[0] * 255 + 0.5).astype(np.uint8)).all()


def test_the_whole_frame_is_told():
    """Step, loss, texts, the steps its samples came from, their losses."""
    outputs, targets = np.eye(4)[[0, 1]] * 5, np.array([0, 3])
    batch = read(
        {
            "outputs": outputs,
            "targets": targets,
            "sample_steps": [4.0, 5.0],
            "sample_losses": [[0.5], [math.nan]],
        },
        texts=["one", "two"],
        loss=math.inf,
        epoch=2,
        batch_index=3,
        batch_size=8,
        optimizer_step=1,
        attempt=1,
        time_ms=1234.9,
    )
    assert [text.text for text in batch.texts] == ["one", "two"]
    assert list(batch.sample_steps) == [4, 5]
    assert batch.sample_losses[0] == 0.5
    assert math.isnan(batch.sample_losses[1])
    assert (batch.global_step, batch.epoch, batch.batch_index) == (5, 2, 3)
    assert (batch.batch_size, batch.optimizer_step, batch.attempt) == (8, 1, 1)
    assert batch.batch_loss == math.inf
    assert batch.timestamp_ms == 1234
    assert [each.predicted_class for each in batch.predictions] == [0, 1]


def test_losses_of_samples_are_taken_from_the_whole_batch():
    """Computed for all, checked against the batch's loss, told for those that are shown."""
    rng = np.random.default_rng(3)
    outputs, targets = rng.normal(size=(30, 4)), rng.integers(0, 4, 30)
    powers = np.exp(outputs)
    losses = -np.log(powers[np.arange(30), targets] / powers.sum(axis=1))
    chosen = [3, 9, 21]
    arrays = {
        "outputs": outputs[chosen],
        "targets": targets[chosen],
        "batch_outputs": outputs,
        "batch_targets": targets,
        "sample_indices": chosen,
    }
    assert list(read(arrays, loss=losses.mean()).sample_losses) == pytest.approx(losses[chosen])
    assert list(read(arrays, loss=losses.mean() * 2).sample_losses) == []
    assert list(read(arrays).sample_losses) == []


def test_a_plugin_may_draw_what_is_no_picture():
    """Its pictures take the place of the samples' own; it gets the arrays read only."""
    seen = []

    def render(event):
        seen.append(event)
        assert not event.arrays["waves"].flags.writeable
        return [np.full((20, 10, 3), 9 * index, np.uint8) for index in range(2)]

    batch = read({"waves": np.zeros((2, 100)), "images": np.zeros((2, 4, 4))}, render, loss=0.5)
    assert (seen[0].global_step, seen[0].tile_size, seen[0].loss) == (5, 64, 0.5)
    assert [image.width for image in batch.images] == [40, 40]
    assert pixels(batch.images[1])[20, 20].tolist() == [9, 9, 9]


@pytest.mark.parametrize(
    "drawn", [[np.zeros((4, 4))], [np.zeros((4, 4, 2), np.uint8)], ["?"], 5], ids=str
)
def test_what_a_plugin_draws_badly_is_told_and_not_shown(drawn):
    """The rest of the frame is."""
    frame = Frame({"tile_size": 64}, Labels())
    frame.read({"outputs": np.zeros((1, 3))}, lambda _: drawn)
    assert len(frame.problems) == 1
    message = frame.message(85, 4 << 20)
    assert (len(message.images), len(message.predictions)) == (0, 1)


def test_a_frame_is_made_to_fit_or_given_up():
    """Tiles are halved down to 32 pixels; what is too large even then is not sent."""
    noise = np.random.default_rng(0).integers(0, 256, (16, 256, 256, 3), dtype=np.uint8)

    def sized(limit: int) -> BatchData | None:
        frame = Frame({"tile_size": 256}, Labels())
        frame.read({"images": noise}, None)
        return frame.message(85, limit)

    widths = [sized(limit).images[0].width for limit in (4 << 20, 300_000, 100_000, 25_000)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == 256
    assert widths[-1] == 32
    assert sized(5000) is None


# --- the thread -----------------------------------------------------------------------------------


@pytest.fixture
async def desk():
    """Give an encoder on a real channel, and what it delivered and noted."""
    channel = TrainerChannel.create(4096)
    delivered, notes = [], []
    encoder = Encoder(
        channel.slots,
        LossCounter(channel.block),
        lambda frame, batch: delivered.append((frame, batch)),
        notes.append,
    )
    yield channel, encoder, delivered, notes
    await encoder.close()
    channel.memory.close()


def hand_over(channel: TrainerChannel, images: np.ndarray, **fields) -> dict:
    """Write a frame and return its record."""
    slot = channel.slots.free_slot()
    assert slot is not None
    writer = channel.slots.writer(slot)
    writer.allocate("images", images.shape, images.dtype)[...] = images
    channel.slots.hand_over(slot)
    return {"slot": slot, "arrays": writer.layout, "tile_size": 64, "live": True, **fields}


async def idle(encoder: Encoder) -> None:
    """Wait until everything is encoded."""
    if encoder._task is not None:
        await asyncio.wait_for(asyncio.shield(encoder._task), 20)


async def test_of_live_frames_the_newest_wins_and_key_frames_all_stay(desk):
    """Three slots: one is replaced while it waits, the key frame before it is not."""
    channel, encoder, delivered, _ = desk
    images = np.zeros((1, 8, 8), np.uint8)
    encoder.submit(hand_over(channel, images, global_step=1, key_frame=True), 0)
    encoder.submit(hand_over(channel, images, global_step=2), 0)
    encoder.submit(hand_over(channel, images, global_step=3), 0)
    await idle(encoder)
    assert [batch.global_step for _, batch in delivered] == [1, 3]
    assert encoder._losses.count("picture", "relay_busy") == 1
    assert all(channel.block.words[Word.SLOT_0 + slot] == 0 for slot in range(3))


@pytest.mark.parametrize(
    "record",
    [
        {"slot": 99},
        {"slot": "0"},
        {},
        {"slot": 0, "arrays": {"images": ["|u1", [4], 1 << 40]}},
        {"slot": 0, "arrays": {"images": ["nonsense", [4], 0]}},
    ],
    ids=str,
)
async def test_a_record_that_lies_about_its_slot_harms_nothing(desk, record):
    """It is counted; the slot is given back; the next frame is encoded."""
    channel, encoder, delivered, _ = desk
    channel.slots.hand_over(0)
    encoder.submit(record, 0)
    await idle(encoder)
    assert encoder._losses.count("picture", "invalid") == 1
    if record.get("slot") == 0:
        assert channel.block.words[Word.SLOT_0] == 0
    encoder.submit(hand_over(channel, np.zeros((1, 8, 8), np.uint8)), 0)
    await idle(encoder)
    assert len(delivered) == 1


async def test_a_slot_the_training_took_back_is_not_read(desk):
    """The relay that was to read it died; what lies there now may be half a picture."""
    channel, encoder, delivered, _ = desk
    record = hand_over(channel, np.zeros((1, 8, 8), np.uint8))
    channel.slots.free(record["slot"])
    encoder.submit(record, 0)
    await idle(encoder)
    assert delivered == []
    assert encoder._losses.count("picture", "relay_lost") == 1


async def test_a_class_without_a_name_is_told(desk):
    """As a note for people; the picture is shown."""
    channel, encoder, delivered, notes = desk
    encoder.labels = ("a", "b")
    record = hand_over(channel, np.zeros((1, 8, 8), np.uint8))
    writer = channel.slots.writer(record["slot"])
    writer.allocate("images", (1, 8, 8), np.dtype(np.uint8))
    writer.allocate("targets", (1,), np.dtype(np.int64))[...] = 7
    encoder.submit({**record, "arrays": writer.layout}, 0)
    await idle(encoder)
    assert delivered[0][1].ground_truth[0].true_class == 7
    assert "class index 7 lies outside the 2 class names" in notes[0]
