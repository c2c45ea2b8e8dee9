"""Copying samples: which, how many, how few bytes, and never what was not asked for."""

from __future__ import annotations

import numpy as np
import pytest

from trainmon.capture.framing import FrameWriter
from trainmon.capture.images import image_layout, stride_for
from trainmon.capture.pace import Due, FramePace
from trainmon.channel import Kind, Real, SlotState, Word
from trainmon.events import BatchEvent, FrameRequest

LIVE = Due(live=True, key_frame=False)
STEP = {"global_step": 5, "epoch": 0, "batch_index": 5, "time_ms": 1.0}
REQUEST = FrameRequest(max_samples=16, tile_size=32)
SECOND_NS = 10**9


def unexpected(role: str, error: Exception) -> None:
    """Fail for what a batch is told to be of no use for."""
    raise AssertionError(f"{role}: {error}") from error


def frame(ends, batch: BatchEvent, request: FrameRequest = REQUEST, **of_step):
    """Write one batch and return its record and arrays as the relay finds them."""
    writer = FrameWriter(ends.trainer, None, unexpected)
    assert writer.begin(LIVE, 0)
    assert writer.add(batch, {**STEP, **of_step}, request, 2 * SECOND_NS)
    (record,) = ends.of(Kind.FRAME)
    return record, ends.relay.slots.arrays(record["slot"], record["arrays"])


def numbered(count: int, *shape: int, dtype=np.uint8) -> np.ndarray:
    """Return samples that each hold their own number in every pixel."""
    numbers = np.arange(count).reshape(-1, *[1] * len(shape))
    return np.broadcast_to(numbers, (count, *shape)).astype(dtype)


def test_sixteen_of_more(ends) -> None:
    """Of a batch of 64, 16 different samples are copied, each with its own outputs and targets."""
    record, arrays = frame(
        ends,
        BatchEvent(
            images=numbered(64, 8, 8), outputs=numbered(64, 10, dtype=float), targets=np.arange(64)
        ),
    )
    shown = arrays["images"][:, 0, 0]
    assert len(set(shown.tolist())) == 16
    assert np.array_equal(shown, arrays["targets"])
    assert np.array_equal(shown, arrays["outputs"][:, 0])
    assert np.array_equal(shown, arrays["sample_indices"])
    assert np.array_equal(arrays["batch_targets"], np.arange(64))
    assert record["live"]
    assert not record["key_frame"]


@pytest.mark.parametrize("given", [16, 20])
def test_a_part_of_a_batch_is_never_taken_for_all_of_it(ends, given) -> None:
    """The losses of some samples may happen to have the mean of all: nothing is known by that."""
    samples = BatchEvent(
        images=numbered(given, 8, 8),
        outputs=numbered(given, 10, dtype=float),
        targets=np.arange(given),
        batch_size=64,
    )
    record, arrays = frame(ends, samples, batch_size=64, loss=1.5)
    assert "batch_outputs" not in record["arrays"]
    assert arrays["sample_batches"].tolist() == [[1.5, 64]] * 16


def test_a_batch_is_no_smaller_than_what_is_handed_over(ends) -> None:
    """Of what counts several samples as one, each loss is checked by all of them."""
    samples = BatchEvent(
        images=numbered(64, 8, 8), outputs=numbered(64, 10, dtype=float), targets=np.arange(64)
    )
    _, arrays = frame(ends, samples, batch_size=16, loss=1.5)
    assert np.array_equal(arrays["batch_targets"], np.arange(64))


def test_choice_leaves_the_users_generators_alone(ends) -> None:
    """Choosing samples draws nothing from random or NumPy's global generator."""
    import random

    before = random.getstate(), np.random.get_state()[1].tolist()
    frame(ends, BatchEvent(images=numbered(64, 8, 8)))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


@pytest.mark.parametrize(
    ("shape", "copied"),
    [
        ((64, 64), (32, 32)),
        ((4000, 4000), (32, 32)),
        ((3, 640, 480), (3, 32, 24)),
        ((100, 60, 3), (34, 20, 3)),
        ((8, 8), (8, 8)),
        ((1, 1), (1, 1)),
    ],
)
def test_large_pictures_are_strided(ends, shape, copied) -> None:
    """No more pixels are copied than the tile needs, and never fewer than the tile's edge."""
    _, arrays = frame(ends, BatchEvent(images=numbered(2, *shape)))
    assert arrays["images"].shape == (2, *copied)
    assert ends.relay.block.words[Word.BYTES_COPIED] == 2 * np.prod(copied)


def test_the_users_array_is_neither_changed_nor_kept(ends) -> None:
    """What the user does to an array afterwards does not reach the frame, nor the other way."""
    images = numbered(16, 8, 8).copy()
    before = images.copy()
    _, arrays = frame(ends, BatchEvent(images=images))
    assert np.array_equal(images, before)
    images[:] = 255
    assert np.array_equal(arrays["images"], before)


def test_small_batches_are_gathered(ends) -> None:
    """Batches of 6 make one frame of 16, and each sample says which step it is of."""
    writer = FrameWriter(ends.trainer, None, unexpected)
    assert writer.begin(LIVE, 0)
    for step in range(3):
        batch = BatchEvent(images=numbered(6, 8, 8), targets=np.full(6, step))
        done = writer.add(batch, {**STEP, "global_step": step}, REQUEST, step)
        assert done == (step == 2)
    (record,) = ends.of(Kind.FRAME)
    arrays = ends.relay.slots.arrays(record["slot"], record["arrays"])
    steps = [0] * 6 + [1] * 6 + [2] * 4
    assert arrays["sample_steps"].tolist() == steps
    assert arrays["targets"].tolist() == steps
    assert record["global_step"] == 2


def test_a_frame_waits_no_longer_than_a_second(ends) -> None:
    """Fewer than 16 samples go out once a second has passed."""
    writer = FrameWriter(ends.trainer, None, unexpected)
    writer.begin(LIVE, 0)
    assert not writer.add(BatchEvent(images=numbered(2, 8, 8)), STEP, REQUEST, SECOND_NS - 1)
    assert writer.add(BatchEvent(images=numbered(2, 8, 8)), STEP, REQUEST, SECOND_NS)
    (record,) = ends.of(Kind.FRAME)
    assert record["arrays"]["images"][1] == [4, 8, 8]


def test_other_shapes_end_the_gathering(ends) -> None:
    """A batch of another shape sends what was gathered and is not mixed into it."""
    writer = FrameWriter(ends.trainer, None, unexpected)
    writer.begin(LIVE, 0)
    assert not writer.add(BatchEvent(images=numbered(2, 8, 8)), STEP, REQUEST, 0)
    assert writer.add(BatchEvent(images=numbered(2, 9, 9)), STEP, REQUEST, 1)
    (record,) = ends.of(Kind.FRAME)
    assert record["arrays"]["images"][1] == [2, 8, 8]


@pytest.mark.parametrize(
    "batch",
    [
        BatchEvent(images=np.zeros((4, 4))),
        BatchEvent(images=np.zeros((4, 5, 6, 7))),
        BatchEvent(images=np.zeros((4, 2, 2, 2, 2))),
        BatchEvent(images=np.zeros((4, 0, 8))),
        BatchEvent(images=np.array(["cat"] * 4)),
        BatchEvent(images=np.zeros((4, 8, 8), complex)),
    ],
)
def test_useless_images_are_refused_with_the_reason(ends, batch) -> None:
    """Of images of wrong rank or type the reason is told, no frame is sent, the slot stays free."""
    told = []
    writer = FrameWriter(ends.trainer, None, lambda role, error: told.append((role, str(error))))
    writer.begin(LIVE, 0)
    assert not writer.add(batch, STEP, REQUEST, 2 * SECOND_NS)
    assert [role for role, _ in told] == ["images"]
    assert any(word in told[0][1] for word in ("shape", "numbers"))
    assert writer.frame is None
    assert ends.relay.block.words[Word.SLOT_0] == SlotState.FREE
    assert ends.of(Kind.FRAME) == []


@pytest.mark.parametrize(
    "useless",
    [
        {"targets": [{"boxes": 1}] * 4},
        {"targets": ["cat", "dog", "cat", "dog"]},
        {"targets": np.zeros(5)},
        {"targets": np.float64(3)},
        {"outputs": np.zeros((4, 21, 512, 512), np.float32)},
        {"sample_losses": object()},
        {"texts": ["one"]},
    ],
)
def test_what_is_useless_hides_no_more_than_itself(ends, useless) -> None:
    """Where targets, outputs or losses cannot be shown the pictures are, and it is told why."""
    told: list[str] = []
    writer = FrameWriter(ends.trainer, None, lambda role, _: told.append(role))
    writer.begin(LIVE, 0)
    batch = BatchEvent(images=numbered(4, 8, 8), **useless)
    assert writer.add(batch, STEP, REQUEST, 2 * SECOND_NS)
    assert told == list(useless)
    (record,) = ends.of(Kind.FRAME)
    assert list(record["arrays"]) == ["images"]


def test_a_frame_waits_for_samples(ends) -> None:
    """A loop that shows pictures now and then is not asked in vain: the frame waits for one."""
    writer = FrameWriter(ends.trainer, None, unexpected)
    writer.begin(LIVE, 0)
    assert not writer.add(BatchEvent(), STEP, REQUEST, 0)
    assert writer.add(BatchEvent(images=numbered(16, 8, 8)), STEP, REQUEST, 0)


def test_an_empty_batch_keeps_what_was_gathered(ends) -> None:
    """A batch of no samples between others neither counts nor ends the gathering."""
    writer = FrameWriter(ends.trainer, None, unexpected)
    writer.begin(LIVE, 0)
    assert not writer.add(BatchEvent(images=numbered(2, 8, 8)), STEP, REQUEST, 0)
    assert not writer.add(BatchEvent(images=numbered(0, 8, 8)), STEP, REQUEST, 0)
    assert writer.add(BatchEvent(images=numbered(2, 8, 8)), STEP, REQUEST, SECOND_NS)
    (record,) = ends.of(Kind.FRAME)
    assert record["arrays"]["images"][1] == [4, 8, 8]


def test_a_frame_does_not_wait_for_a_step_that_comes_too_late(ends) -> None:
    """Where steps take a second, four samples go out at once."""
    writer = FrameWriter(ends.trainer, None, unexpected)
    writer.begin(LIVE, 0)
    assert writer.add(BatchEvent(images=numbered(4, 8, 8)), STEP, REQUEST, 0, SECOND_NS)


def test_what_is_no_json_costs_no_slot(ends) -> None:
    """A field that the record cannot hold gives the frame up, and the slot stays free."""
    writer = FrameWriter(ends.trainer, None, unexpected)
    writer.begin(LIVE, 0)
    batch = BatchEvent(images=numbered(16, 8, 8))
    with pytest.raises(TypeError, match="JSON"):
        writer.add(batch, {**STEP, "batch_size": np.int64(16)}, REQUEST, 0)
    assert ends.relay.block.words[Word.SLOT_0] == SlotState.FREE


def test_no_frame_is_larger_than_a_step_may_wait_for(ends) -> None:
    """Of 16 large float pictures fewer pixels are copied than asked for, within the limit."""
    images = np.zeros((16, 3, 512, 512), np.float32)
    _, arrays = frame(ends, BatchEvent(images=images), FrameRequest(16, 512))
    assert arrays["images"].shape == (16, 3, 256, 256)
    assert arrays["images"].nbytes <= 12 << 20


def test_channels_are_taken_where_they_lie(ends) -> None:
    """Torch's channels_last is copied in the order of its memory, and says so."""
    images = np.arange(16 * 6 * 8 * 3, dtype=np.float32).reshape(16, 6, 8, 3)
    record, arrays = frame(ends, BatchEvent(images=images.transpose(0, 3, 1, 2)))
    assert record["channels_first"] is False
    assert np.array_equal(arrays["images"], images)


def test_lists_are_read_row_by_row(ends) -> None:
    """Of a list of pictures only those chosen are looked at."""
    pictures = [*numbered(64, 8, 8)]
    record, arrays = frame(ends, BatchEvent(images=pictures, targets=list(range(64))))
    assert np.array_equal(arrays["images"][:, 0, 0], arrays["targets"])
    assert record["arrays"]["images"][1] == [16, 8, 8]


def test_slots_that_the_relay_holds_are_not_touched(ends) -> None:
    """With every slot unread no frame begins; one that was freed is used again."""
    writer = FrameWriter(ends.trainer, None, unexpected)
    batch = BatchEvent(images=numbered(16, 8, 8))
    slots = []
    while writer.begin(LIVE, 0):
        writer.add(batch, STEP, REQUEST, 0)
        slots += [record["slot"] for record in ends.of(Kind.FRAME)]
    assert sorted(slots) == [0, 1, 2]
    ends.relay.slots.free(1)
    assert writer.begin(LIVE, 0)


def test_layouts() -> None:
    """Channels are found first or last; a grey batch of width 3 is not mistaken for colour."""
    assert image_layout((8, 32, 40)).channels is None
    assert image_layout((8, 32, 40, 3)).channels_first is False
    assert image_layout((8, 3, 32, 40)).channels_first is True
    assert image_layout((8, 1, 28, 28)).channels_first is True
    assert image_layout((8, 28, 28, 1)).channels_first is False


def test_stride_respects_the_room() -> None:
    """Where pixels would not fit the slot, fewer are taken."""
    layout = image_layout((1, 4000, 4000, 3))
    assert stride_for(layout, 512, 4, 10**9) == 7
    assert stride_for(layout, 512, 4, 10**6) > 7


def test_pace_keeps_the_beat(ends) -> None:
    """Over ten seconds of steps a viewer at 30 frames a second gets 300 frames, evenly."""
    ends.relay.block.reals[Real.FRAMES_PER_SECOND] = 30
    pace = FramePace(ends.trainer.block, key_frame_interval_s=1e6)
    times = []
    for now_ns in range(SECOND_NS, 11 * SECOND_NS, 7_000_000):
        due = pace.due(now_ns)
        if due is not None:
            pace.taken(due, now_ns)
            times.append(now_ns)
    assert len(times) == pytest.approx(300, abs=2)
    assert max(np.diff(times)) <= 2 * SECOND_NS / 30


def test_without_a_viewer_only_key_frames(ends) -> None:
    """Nobody watching: one frame per key-frame interval, none of them live."""
    pace = FramePace(ends.trainer.block, key_frame_interval_s=10)
    seen = []
    for now_ns in range(SECOND_NS, 61 * SECOND_NS, SECOND_NS // 100):
        due = pace.due(now_ns)
        if due is not None:
            pace.taken(due, now_ns)
            seen.append(due)
    assert len(seen) == 6
    assert all(due.key_frame and not due.live for due in seen)


def test_a_rank_above_0_keeps_a_picture_only_where_it_is_watched(ends) -> None:
    """The history is rank 0's; the others pay nothing while nobody looks at them."""
    pace = FramePace(ends.trainer.block, key_frame_interval_s=10, by_itself=False)
    assert pace.due(SECOND_NS) is None
    ends.relay.block.reals[Real.FRAMES_PER_SECOND] = 30
    due = pace.due(2 * SECOND_NS)
    assert due is not None
    assert due.live
    assert due.key_frame


def test_a_new_rate_holds_at_once(ends) -> None:
    """A viewer who asks for more does not wait for the beat of the rate before."""
    ends.relay.block.reals[Real.FRAMES_PER_SECOND] = 0.01
    pace = FramePace(ends.trainer.block, key_frame_interval_s=1e6)
    due = pace.due(SECOND_NS)
    assert due is not None
    pace.taken(due, SECOND_NS)
    assert pace.due(2 * SECOND_NS) is None
    ends.relay.block.reals[Real.FRAMES_PER_SECOND] = 30
    assert pace.due(2 * SECOND_NS) is not None


def test_dear_pictures_come_less_often(ends) -> None:
    """Pictures that cost 10 ms each take no more than a fiftieth of the time."""
    ends.relay.block.reals[Real.FRAMES_PER_SECOND] = 60
    pace = FramePace(ends.trainer.block, key_frame_interval_s=1e6)
    taken = 0
    for now_ns in range(SECOND_NS, 11 * SECOND_NS, 5_000_000):
        due = pace.due(now_ns)
        if due is not None:
            pace.taken(due, now_ns)
            pace.spent(10_000_000, now_ns)
            taken += 1
    assert taken == pytest.approx(20, abs=1)


def test_cheap_pictures_come_as_often_as_wanted(ends) -> None:
    """Pictures that cost less than a millisecond are never held back."""
    ends.relay.block.reals[Real.FRAMES_PER_SECOND] = 60
    pace = FramePace(ends.trainer.block, key_frame_interval_s=1e6)
    taken = 0
    for now_ns in range(SECOND_NS, 11 * SECOND_NS, 5_000_000):
        due = pace.due(now_ns)
        if due is not None:
            pace.taken(due, now_ns)
            pace.spent(900_000, now_ns)
            taken += 1
    assert taken == pytest.approx(600, abs=2)
