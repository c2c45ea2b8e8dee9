"""From what a loop hands over to the message a page gets: every kind of target and output."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainmon.capture.framing import FrameWriter
from trainmon.capture.pace import Due
from trainmon.channel import Kind, RelayChannel, TrainerChannel, unpack
from trainmon.events import BatchEvent, FrameRequest
from trainmon.monitor.pictures import PictureChecker
from trainmon.monitor.validation import check_batch
from trainmon.relay.frame import Frame
from trainmon.relay.predictions import Labels
from trainmon.v1.telemetry_pb2 import BatchData, ImageData

RNG = np.random.default_rng(11)
NAMES = ("background", "disc", "square")
LATE_NS = 2 * 10**9
Shown = Callable[..., BatchData]


class Way:
    """The way of a batch from a loop to its message; nothing of it may be complained of."""

    def __init__(self) -> None:
        self.trainer = TrainerChannel.create(1 << 20)
        descriptor = os.dup(self.trainer.memory.descriptor)
        self.relay = RelayChannel.attach(descriptor, self.trainer.record_bytes)
        self.problems: list[str] = []
        self.fields: dict[str, Any] = {}
        self.arrays: dict[str, np.ndarray] = {}
        self.events: list[Any] = []

    def shown(self, *batches: dict[str, Any], tile: int = 64, **fields: Any) -> BatchData:
        """Return the message of one frame of these batches."""
        writer = FrameWriter(
            self.trainer, None, lambda role, error: self.problems.append(f"{role}: {error}")
        )
        assert writer.begin(Due(live=True, key_frame=False), 0)
        for number, batch in enumerate(batches, 1):
            step = {"global_step": number, "epoch": 0, "batch_index": number, "time_ms": 1.0}
            now_ns = LATE_NS if number == len(batches) else 0
            loss = batch.get("loss", fields.get("loss"))
            writer.add(BatchEvent(**batch), {**step, "loss": loss}, FrameRequest(16, tile), now_ns)
        payload = self.relay.records.read()
        assert payload is not None
        kind, self.fields = unpack(bytes(payload))
        assert kind is Kind.FRAME
        self.arrays = self.relay.slots.arrays(self.fields["slot"], self.fields["arrays"])
        frame = Frame(self.fields, Labels(NAMES))
        frame.read(self.arrays, self.events.append)
        self.problems += frame.problems
        message = frame.message(85, 4 << 20)
        assert message is not None
        self.relay.slots.free(self.fields["slot"])
        assert check_batch(message, 0, PictureChecker()) == []
        return message

    def close(self) -> None:
        self.arrays, self.events = {}, []
        self.relay.close()
        self.trainer.close()


@pytest.fixture
def way() -> Iterator[Way]:
    """Give a way, and fail the test for what was found to be of no use."""
    opened = Way()
    yield opened
    problems = opened.problems
    opened.close()
    assert problems == []


def pixels(image: ImageData) -> np.ndarray:
    """Return the decoded mask."""
    assert (image.format, image.channels) == ("png", 1)
    return np.asarray(Image.open(io.BytesIO(image.image_bytes)))


# --- segmentation ---------------------------------------------------------------------------------


def scene(count: int = 16, edge: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pictures (count, 3, edge, edge), their masks of three classes, and logits for them."""
    masks = RNG.integers(0, 3, (count, edge, edge))
    logits = RNG.normal(size=(count, 3, edge, edge)).astype(np.float32)
    return RNG.random((count, 3, edge, edge)).astype(np.float32), masks, logits


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize("form", ["indices", "channel", "real", "one-hot"])
def test_maps_of_logits_and_of_classes_are_masks(way: Way, last: bool, form: str) -> None:
    """Each pixel's class is that of the greatest logit; truths in every form mean the same."""
    images, masks, logits = scene()
    axis = -1 if last else 1
    targets = {
        "indices": masks,
        "channel": np.expand_dims(masks, axis),
        "real": masks.astype(np.float32),
        "one-hot": np.moveaxis(np.eye(3, dtype=np.float32)[masks], -1, axis),
    }[form]
    outputs = np.moveaxis(logits, 1, -1) if last else logits
    batch = way.shown({"images": images, "outputs": outputs, "targets": targets})
    assert len(batch.predictions) == len(batch.ground_truth) == 16
    for index in range(16):
        prediction, truth = batch.predictions[index], batch.ground_truth[index]
        assert (pixels(prediction.mask) == logits[index].argmax(axis=0)).all()
        assert (pixels(truth.mask) == masks[index]).all()
        assert (prediction.predicted_class, truth.true_class) == (-1, -1)


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("shape", ["(B, 1, H, W)", "(B, H, W)", "(B, H, W, 1)"])
@pytest.mark.parametrize("white", [1, 255])
def test_one_number_for_each_pixel_is_a_mask_of_two_classes(
    way: Way, probabilities: bool, shape: str, white: int
) -> None:
    """Logits above 0, or probabilities above a half, are the second; 255 is as good as 1."""
    logits = RNG.normal(size=(16, 24, 24)) * 3
    outputs = 1 / (1 + np.exp(-logits)) if probabilities else logits
    truths = RNG.integers(0, 2, (16, 24, 24))
    given = [outputs, (truths * white).astype(np.uint8)]
    if shape == "(B, 1, H, W)":
        given = [each[:, None] for each in given]
    elif shape == "(B, H, W, 1)":
        given = [each[..., None] for each in given]
    batch = way.shown({"images": np.zeros((16, 24, 24)), "outputs": given[0], "targets": given[1]})
    for index in range(16):
        assert (pixels(batch.predictions[index].mask) == (logits[index] > 0)).all()
        assert (pixels(batch.ground_truth[index].mask) == truths[index]).all()


def test_ignored_pixels_and_several_classes_have_marks_of_their_own(way: Way) -> None:
    """What is ignored is 255, whether −100 or 255 stood for it; of several, the most probable."""
    images, masks, logits = scene()
    masks[:, 0], masks[:, 1] = -100, 255
    batch = way.shown({"images": images, "outputs": logits, "targets": masks})
    assert (pixels(batch.ground_truth[0].mask)[:2] == 255).all()
    several = np.zeros((16, 3, 40, 40))
    several[:, :2, :20] = 1
    batch = way.shown({"images": images, "outputs": logits, "targets": several})
    assert (pixels(batch.ground_truth[3].mask)[:20] == 0).all()
    assert (pixels(batch.ground_truth[3].mask)[20:] == 255).all()
    none = (logits[3] <= 0).all(axis=0)
    assert ((pixels(batch.predictions[3].mask) == 255) == none).all()


def test_truths_alone_are_shown_and_a_coarser_map_lies_over_its_picture(way: Way) -> None:
    """True masks where there are no predictions; logits of a quarter of the edge."""
    images, masks, logits = scene()
    batch = way.shown({"images": images, "targets": masks})
    assert (len(batch.predictions), len(batch.ground_truth)) == (0, 16)
    coarse = logits[:, :, ::4, ::4]
    batch = way.shown({"images": images, "outputs": coarse, "targets": masks})
    assert pixels(batch.predictions[5].mask).shape == (10, 10)
    assert (pixels(batch.ground_truth[5].mask) == masks[5]).all()


def test_large_maps_are_thinned_until_a_step_need_not_wait(way: Way) -> None:
    """Fewer pixels of more classes; never more memory is read than a millisecond allows."""
    logits = np.zeros((16, 21, 256, 256), np.float32)
    logits[:, 7, :, 128:] = 1
    masks = logits.argmax(axis=1).astype(np.uint8)
    images = np.zeros((16, 256, 256), np.uint8)
    batch = way.shown({"images": images, "outputs": logits, "targets": masks}, tile=128)
    predicted, true = pixels(batch.predictions[0].mask), pixels(batch.ground_truth[0].mask)
    assert way.arrays["outputs"].nbytes < 2 << 20
    assert min(predicted.shape) >= 32
    assert true.shape == (128, 128)
    half = predicted.shape[1] // 2
    assert (predicted[:, :half] == 0).all()
    assert (predicted[:, half + 1 :] == 7).all()


def test_masks_are_padded_as_small_pictures_are(way: Way) -> None:
    """A picture of 10×20 pixels is shown in a square, and its mask lies where it does."""
    masks = RNG.integers(0, 3, (2, 10, 20))
    batch = way.shown({"images": np.zeros((2, 10, 20), np.uint8), "targets": masks})
    found = pixels(batch.ground_truth[1].mask)
    assert found.shape == (20, 20)
    assert (found[5:15] == masks[1]).all()
    assert (found[:5] == 255).all()


def test_bfloat16_maps_of_torch_are_read(way: Way) -> None:
    """Without a copy of the whole batch, and to the same classes."""
    torch = pytest.importorskip("torch")
    images, masks, logits = scene(64)
    outputs = torch.from_numpy(logits).to(torch.bfloat16)
    batch = way.shown({"images": images, "outputs": outputs, "targets": torch.from_numpy(masks)})
    expected = outputs.float().argmax(dim=1).numpy()
    rows = [
        next(row for row in range(64) if (masks[row] == pixels(each.mask)).all())
        for each in batch.ground_truth
    ]
    for row, prediction in zip(rows, batch.predictions, strict=True):
        assert (pixels(prediction.mask) == expected[row]).all()


@pytest.mark.parametrize("targets", ["the same", "a copy", None])
def test_pictures_that_a_model_draws_are_no_masks(way: Way, targets: str | None) -> None:
    """An autoencoder's outputs are of no task known here, and that is told."""
    images = RNG.random((16, 3, 20, 20)).astype(np.float32)
    truths = {"the same": images, "a copy": images.copy(), None: None}[targets]
    batch = way.shown({"images": images, "outputs": images * 0.9, "targets": truths})
    assert not any(each.HasField("mask") for each in (*batch.predictions, *batch.ground_truth))
    assert len(batch.images) == 16
    [problem] = way.problems
    assert "no task known" in problem
    way.problems.clear()


# --- boxes ----------------------------------------------------------------------------------------


def corners(box: Any) -> list[float]:
    """Return a box as left, top, right, bottom."""
    return [box.x_min, box.y_min, box.x_max, box.y_max]


def test_boxes_are_fractions_of_their_picture(way: Way) -> None:
    """Whatever its size and that of its tile; labels get their names, scores stay within 0 to 1."""
    target = {"boxes": np.array([[0, 0, 50, 100], [100, 20, 200, 90.0]]), "labels": [1, 2]}
    output = {"boxes": [[20.0, 10, 60, 100]], "labels": [1], "scores": [0.75]}
    batch = way.shown(
        {
            "images": np.zeros((3, 3, 100, 200), np.float32),
            "target_boxes": [target] * 3,
            "output_boxes": [output] * 3,
        },
        tile=32,
    )
    first, second = batch.ground_truth[2].boxes
    assert corners(first) == pytest.approx([0, 0, 0.25, 1])
    assert corners(second) == pytest.approx([0.5, 0.2, 1, 0.9])
    assert (second.class_index, second.label, second.HasField("score")) == (2, "square", False)
    [found] = batch.predictions[0].boxes
    assert corners(found) == pytest.approx([0.1, 0.1, 0.3, 1])
    assert (found.label, found.score) == ("disc", 0.75)
    assert (batch.predictions[0].predicted_class, batch.ground_truth[0].true_class) == (-1, -1)


def test_pictures_of_different_sizes_keep_their_own_shape_and_boxes(way: Way) -> None:
    """As detection has them: lists of pictures, each with its own boxes."""
    sizes = [(40, 60), (300, 100), (20, 30)]
    images = [np.full((3, *size), 0.1 + 0.3 * index) for index, size in enumerate(sizes)]
    targets = [
        {"boxes": np.array([[0.0, 0, width / 2, height]]), "labels": np.array([1])}
        for height, width in sizes
    ]
    batch = way.shown({"images": images, "target_boxes": targets})
    assert [(image.height, image.width) for image in batch.images] == [(40, 60), (60, 20), (60, 60)]
    first, second, third = (truth.boxes[0] for truth in batch.ground_truth)
    assert corners(first) == corners(second) == pytest.approx([0, 0, 0.5, 1])
    assert corners(third) == pytest.approx([0, 1 / 6, 0.5, 5 / 6])  # padded to a square
    for index, image in enumerate(batch.images):
        middle = np.asarray(Image.open(io.BytesIO(image.image_bytes)))[image.height // 2, 5]
        assert middle == pytest.approx((0.1 + 0.3 * index) * 255, abs=2)


def test_boxes_without_extent_or_outside_are_left_out_and_many_are_bounded(way: Way) -> None:
    """Empty samples are fine; of a hundred boxes the sixty-four likeliest are shown."""
    scores = RNG.permutation(100) / 100
    many = {"boxes": np.tile([1.0, 1, 9, 9], (100, 1)), "scores": scores}
    odd = [[5, 5, 5, 9], [20, 20, 30, 30], [math.nan, 0, 1, 1], [-5, -5, 5, 5]]
    batch = way.shown(
        {
            "images": np.zeros((3, 10, 10), np.uint8),
            "output_boxes": [many, {"boxes": np.array(odd)}, {"boxes": np.zeros((0, 4))}],
        }
    )
    found = [each.boxes for each in batch.predictions]
    assert [len(each) for each in found] == [64, 1, 0]
    assert sorted(box.score for box in found[0]) == pytest.approx(sorted(scores)[36:])
    assert corners(found[1][0]) == [0, 0, 0.5, 0.5]
    assert found[1][0].class_index == -1


# --- texts ----------------------------------------------------------------------------------------


def test_texts_what_was_written_and_tokens_are_shown(way: Way) -> None:
    """With the loss of each token where it was scored."""
    batch = way.shown(
        {
            "texts": ["say hello", "say bye"],
            "output_texts": ["hallo", "bye"],
            "target_texts": ["hello", "bye"],
            "tokens": [["say", " hello"], ["say", " b", "ye"]],
            "token_losses": [np.array([math.nan, 2.5]), [math.nan, 1.0, 0.25]],
        }
    )
    assert [each.text for each in batch.texts] == ["say hello", "say bye"]
    assert [each.text for each in batch.predictions] == ["hallo", "bye"]
    assert [each.text for each in batch.ground_truth] == ["hello", "bye"]
    assert [token.token for token in batch.texts[1].tokens] == ["say", " b", "ye"]
    losses = [token.loss if token.HasField("loss") else None for token in batch.texts[1].tokens]
    assert losses == [None, 1.0, 0.25]
    assert (batch.predictions[0].predicted_class, batch.ground_truth[0].true_class) == (-1, -1)
    [event] = way.events
    assert event.output_texts == ("hallo", "bye")
    assert event.tokens[0] == ("say", " hello")


def test_tokens_alone_make_a_text_and_long_ones_are_cut(way: Way) -> None:
    """256 tokens of a sample at most; the text of a sample without one is its tokens."""
    tokens = [[f"{index} " for index in range(1000)]]
    batch = way.shown({"tokens": tokens, "token_losses": [np.arange(1000)]})
    assert len(batch.texts[0].tokens) == 256
    assert batch.texts[0].tokens[255].loss == 255
    assert batch.texts[0].text.startswith("0 1 2 ")
    long = way.shown({"texts": ["x" * 30_000] * 16})
    assert {len(text.text) for text in long.texts} == {6250}


def test_a_text_with_classes_has_both(way: Way) -> None:
    """Classification of texts shows the text, the prediction and the truth."""
    batch = way.shown({"texts": ["good", "bad"], "outputs": np.eye(2) * 4, "targets": [0, 0]})
    assert [each.predicted_class for each in batch.predictions] == [0, 1]
    assert [each.text for each in batch.texts] == ["good", "bad"]


# --- losses of samples ----------------------------------------------------------------------------


def entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the cross-entropies as a textbook has them."""
    powers = np.exp(logits)
    return -np.log(powers[np.arange(len(targets)), targets] / powers.sum(axis=1))


def test_losses_of_samples_of_small_batches_are_told(way: Way) -> None:
    """Three batches of six: those whose samples are all shown are judged by their own loss."""
    batches = []
    for _ in range(3):
        outputs, targets = RNG.normal(size=(6, 4)), RNG.integers(0, 4, 6)
        losses = entropy(outputs, targets)
        batches.append({"outputs": outputs, "targets": targets, "loss": losses.mean()})
    batch = way.shown(*batches)
    expected = [entropy(each["outputs"], each["targets"]) for each in batches[:2]]
    assert list(batch.sample_losses)[:12] == pytest.approx(np.concatenate(expected))
    assert np.isnan(list(batch.sample_losses)[12:]).all()


def test_losses_of_two_classes_from_one_output_are_told(way: Way) -> None:
    """Outputs of shape (B,), of a batch of more than sixteen."""
    outputs, targets = RNG.normal(size=40) * 3, RNG.integers(0, 2, 40)
    losses = np.logaddexp(0, np.where(targets > 0, -outputs, outputs))
    batch = way.shown({"outputs": outputs, "targets": targets}, loss=losses.mean())
    assert list(batch.sample_losses) == pytest.approx(losses[way.arrays["sample_indices"]])
