"""What lies on an accelerator is shown, and the training never waits for it.

No accelerator is needed: JAX's arrays of the CPU are called those of one, for they are sent for in
the same way wherever they lie. What only a GPU shows is in tests/gpu.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trainmon.capture import arrays, landing
from trainmon.capture.device_batch import DeviceBatch, lies_on_device
from trainmon.capture.framing import FrameWriter
from trainmon.capture.landing import UnderWay, fetch_numbers
from trainmon.capture.pace import Due
from trainmon.capture.steps import StepRecorder
from trainmon.capture.words import TokenTexts
from trainmon.channel import Kind, Real
from trainmon.events import BatchEvent, EpochEvent, FrameRequest

REQUEST = FrameRequest(max_samples=16, tile_size=32)


@pytest.fixture
def jax(monkeypatch: pytest.MonkeyPatch) -> Any:
    """JAX, whose arrays count as lying on an accelerator."""
    pytest.importorskip("jax")
    import jax.numpy

    place_of = arrays.place_of

    def placed(value: Any) -> str:
        return "gpu" if arrays.framework_of(value).startswith("jax") else place_of(value)

    monkeypatch.setattr(arrays, "place_of", placed)
    return jax.numpy


class Landings:
    """Decides when what was sent for arrives."""

    def __init__(self) -> None:
        self.arrived = False


@pytest.fixture
def landings(monkeypatch: pytest.MonkeyPatch) -> Landings:
    """Nothing arrives before the test says so."""
    told = Landings()
    ready = landing._FromJax.ready
    monkeypatch.setattr(landing._FromJax, "ready", lambda self: told.arrived and ready(self))
    return told


@pytest.fixture
def problems() -> list[tuple[str, Exception]]:
    """What could not be read."""
    return []


@pytest.fixture
def recorder(
    ends: Any, relay: Any, problems: list[tuple[str, Exception]]
) -> Iterator[StepRecorder]:
    """A recorder of steps whose pictures are always wanted."""
    settings = SimpleNamespace(key_frame_interval_s=1e6)
    ends.trainer.block.reals[Real.FRAMES_PER_SECOND] = 1e6
    made = StepRecorder(
        ends.trainer, relay, settings, None, lambda raw: raw, lambda *told: problems.append(told)
    )
    yield made
    made.close()


def frame_of(ends: Any, record: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return copies of a frame's arrays."""
    found = ends.relay.slots.arrays(record["slot"], record["arrays"])
    copies = {role: np.array(array) for role, array in found.items()}
    del found
    return copies


def test_a_loss_on_a_device_is_written_when_it_is_there(
    jax: Any, ends: Any, recorder: StepRecorder, landings: Landings
) -> None:
    """A step whose loss is on its way is written later, and those after it not before it."""
    recorder.end(None, jax.asarray(0.5), {"accuracy": jax.asarray(1), "size": 3}, None)
    recorder.end(None, 0.25, None, None)
    assert ends.of(Kind.STEP) == []
    landings.arrived = True
    recorder.settle()
    first, second = ends.of(Kind.STEP)
    assert (first.global_step, first.loss) == (0, 0.5)
    assert first.metrics == {"accuracy": 1.0, "size": 3.0}
    assert (second.global_step, second.loss) == (1, 0.25)


def test_an_epoch_waits_for_its_steps(
    jax: Any, ends: Any, recorder: StepRecorder, landings: Landings
) -> None:
    """The end of an epoch is told after its steps, with its own numbers from the device."""
    written: list[dict[str, Any]] = []
    recorder.end(None, jax.asarray(0.5), None, None)
    event = EpochEvent(validation_loss=jax.asarray(2.0), metrics={"f1": jax.asarray(0.75), "n": 1})
    recorder.end_epoch(event, written.append)
    assert written == []
    landings.arrived = True
    recorder.settle()
    assert len(ends.of(Kind.STEP)) == 1
    assert written[0]["validation_loss"] == 2.0
    assert written[0]["metrics"] == {"f1": 0.75, "n": 1.0}


def test_samples_on_a_device_are_shown_when_they_are_there(
    jax: Any, ends: Any, recorder: StepRecorder, landings: Landings
) -> None:
    """Pictures, outputs and truth of the same rows arrive, with the loss that came meanwhile."""
    images = np.arange(40 * 8 * 8, dtype=np.float32).reshape(40, 8, 8)
    outputs = np.arange(40 * 3, dtype=np.float32).reshape(40, 3)
    batch = BatchEvent(
        images=jax.asarray(images), outputs=jax.asarray(outputs), targets=np.arange(40) % 3
    )
    recorder.end(batch, jax.asarray(0.5), None, None)
    assert ends.of(Kind.FRAME) == []
    assert recorder.begin() is None, "one picture at a time is under way"
    landings.arrived = True
    recorder.settle()
    (record,) = ends.of(Kind.FRAME)
    found = frame_of(ends, record)
    rows = found["sample_indices"]
    assert len(set(rows.tolist())) == 16
    np.testing.assert_array_equal(found["images"], images[rows])
    np.testing.assert_array_equal(found["outputs"], outputs[rows])
    np.testing.assert_array_equal(found["targets"], rows % 3)
    np.testing.assert_array_equal(found["batch_outputs"], outputs)
    assert (record["loss"], record["batch_size"]) == (0.5, 40)
    assert not recorder._picture_under_way


def landed(
    batch: BatchEvent, problems: list[tuple[str, Exception]], ends: Any, request: FrameRequest
) -> tuple[DeviceBatch, dict[str, np.ndarray]]:
    """Send a batch through a frame, and return its rows and the frame's arrays."""
    frames = FrameWriter(ends.trainer, None, lambda *told: problems.append(told))
    assert frames.begin(Due(live=True, key_frame=False), 0)
    assert lies_on_device(batch)
    sent = frames.send_for(batch, request)
    assert sent is not None
    while not sent.ready():
        pass
    fields = {"global_step": 7, "loss": None}
    frames.add(sent.landed(), fields, request, 2 * 10**9, 0, sent.rows)
    (record,) = ends.of(Kind.FRAME)
    frames.close()
    return sent, frame_of(ends, record)


def test_large_pictures_are_reduced_before_they_travel(
    jax: Any, ends: Any, problems: list[tuple[str, Exception]]
) -> None:
    """Of large pictures and their maps every n-th pixel travels, the same of both."""
    images = np.random.default_rng(0).integers(0, 255, (20, 3, 128, 96), dtype=np.uint8)
    masks = (images[:, 0] > 128).astype(np.int32)
    batch = BatchEvent(images=jax.asarray(images), targets=jax.asarray(masks))
    sent, found = landed(batch, problems, ends, REQUEST)
    assert problems == []
    np.testing.assert_array_equal(found["images"], images[sent.rows][:, :, ::4, ::4])
    np.testing.assert_array_equal(found["targets"], masks[sent.rows][:, ::4, ::4])


def test_lists_of_pictures_with_boxes_travel(
    jax: Any, ends: Any, problems: list[tuple[str, Exception]]
) -> None:
    """Pictures of different sizes come with their boxes, in the pixels that travelled."""
    sizes = [(64, 128), (128, 64), (32, 32)]
    pictures = [jax.full((3, *size), index, jax.float32) for index, size in enumerate(sizes)]
    boxes = [
        {
            "boxes": jax.asarray([[0.0, 0.0, size[1], size[0]]] * (index + 1)),
            "labels": jax.arange(index + 1),
        }
        for index, size in enumerate(sizes)
    ]
    _, found = landed(BatchEvent(images=pictures, target_boxes=boxes), problems, ends, REQUEST)
    assert problems == []
    assert found["images"].shape[0] == 3
    for index, (height, width) in enumerate(sizes):
        stride = max(height, width) // 32
        first = found["target_boxes"][index][0]
        assert first[:4].tolist() == [0, 0, width / stride, height / stride]
        assert np.isfinite(found["target_boxes"][index][:, 4]).sum() == index + 1


def test_roles_of_another_length_do_not_reach_the_device(
    jax: Any, ends: Any, problems: list[tuple[str, Exception]]
) -> None:
    """An array shorter than the batch is told, and never indexed."""
    batch = BatchEvent(images=jax.zeros((20, 8, 8)), targets=jax.zeros(4, int))
    _, found = landed(batch, problems, ends, REQUEST)
    assert [role for role, _ in problems] == ["targets"]
    assert "targets" not in found


def test_too_much_to_move_is_told(
    jax: Any, ends: Any, problems: list[tuple[str, Exception]]
) -> None:
    """Outputs that would take longer than a step to move are refused, with the limit."""
    batch = BatchEvent(images=jax.zeros((16, 8, 8)), outputs=jax.zeros((16, 600_000)))
    _, found = landed(batch, problems, ends, REQUEST)
    assert "outputs" not in found
    (role, error), *_ = problems
    assert role == "outputs"
    assert "38400000 bytes" in str(error)


def test_a_number_of_several_elements_is_told(
    jax: Any, ends: Any, recorder: StepRecorder, problems: list[tuple[str, Exception]]
) -> None:
    """A loss that is an array harms neither the step nor those after it."""
    recorder.end(None, jax.zeros(3), None, None)
    recorder.end(None, 1.0, None, None)
    recorder.settle()
    assert [step.loss for step in ends.of(Kind.STEP)] == [None, 1.0]
    assert "shape (3,)" in str(problems[0][1])


def test_one_number_that_cannot_be_read_costs_no_other(
    jax: Any, ends: Any, recorder: StepRecorder, problems: list[tuple[str, Exception]]
) -> None:
    """Of several numbers on a device only the impossible one is lost."""
    recorder.end(None, jax.asarray(0.5), {"bad": jax.zeros(3)}, None)
    recorder.finish(5)
    (step,) = ends.of(Kind.STEP)
    assert (step.loss, step.metrics) == (0.5, {})
    assert [name for name, _ in problems] == ["batch_end(bad=...)"]


def test_what_never_arrives_is_given_up_at_the_end(
    jax: Any, ends: Any, recorder: StepRecorder, landings: Landings
) -> None:
    """A device that hangs costs the numbers on it, not the steps, and not the end."""
    recorder.end(None, jax.asarray(0.5), {"size": 3}, None)
    recorder.finish(0.05)
    (step,) = ends.of(Kind.STEP)
    assert (step.loss, step.metrics) == (None, {"size": 3.0})


def test_what_waits_is_bounded() -> None:
    """Of a device ever further behind the oldest records are written without its numbers."""
    done: list[tuple[int, bool]] = []
    under_way = UnderWay(lambda *told: None)
    for number in range(landing._MOST_WAITING + 3):
        under_way.put(lambda: False, lambda landed, number=number: done.append((number, landed)))
    assert done == [(0, False), (1, False), (2, False)]


def test_failing_work_keeps_no_other_from_being_done() -> None:
    """What fails to land is told, and what waited behind it is done."""
    told: list[str] = []
    done: list[bool] = []

    def fail() -> bool:
        raise RuntimeError("the device is gone")

    under_way = UnderWay(lambda name, error: told.append(str(error)))
    under_way.put(fail, done.append)
    under_way.put(lambda: True, done.append)
    under_way.settle()
    under_way.settle()
    assert told == ["the device is gone"]
    assert done == [False, True]


def test_numbers_keep_their_names(jax: Any) -> None:
    """Numbers of several types come back each under its own name."""
    numbers = fetch_numbers(
        {"a": jax.asarray(1.5), "b": jax.asarray([[3]]), "c": jax.asarray(True)}
    )
    while not numbers.ready():
        pass
    assert numbers.read() == {"a": 1.5, "b": 3.0, "c": 1.0}


def test_a_number_that_jax_still_computes_is_not_waited_for(
    ends: Any, recorder: StepRecorder, landings: Landings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU, too, JAX computes in its own time: the step is written when its loss is there."""
    numpy = pytest.importorskip("jax.numpy")
    loss = numpy.asarray(0.5)
    monkeypatch.setattr(arrays, "_is_there", lambda _: landings.arrived)
    recorder.end(None, loss, None, None)
    assert ends.of(Kind.STEP) == []
    landings.arrived = True
    recorder.settle()
    assert [step.loss for step in ends.of(Kind.STEP)] == [0.5]


def test_a_picture_waits_for_its_loss(
    ends: Any, recorder: StepRecorder, landings: Landings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples that can be read at once are copied at once, and shown when their loss is there."""
    numpy = pytest.importorskip("jax.numpy")
    monkeypatch.setattr(arrays, "_is_there", lambda _: landings.arrived)
    images = np.ones((20, 8, 8), np.float32)
    batch = BatchEvent(images=images, sample_losses=np.full(20, 0.5), mean_loss=0.5)
    recorder.end(batch, numpy.asarray(0.5), None, None)
    images[...] = 0
    assert ends.of(Kind.FRAME) == []
    landings.arrived = True
    recorder.settle()
    (record,) = ends.of(Kind.FRAME)
    assert record["loss"] == 0.5
    found = frame_of(ends, record)
    assert found["images"].min() == 1
    assert found["sample_losses"].tolist() == [0.5] * 16


def test_token_ids_on_a_device_become_words(
    jax: Any, ends: Any, recorder: StepRecorder, landings: Landings
) -> None:
    """Texts told by token ids are decoded when their ids are here, and only the chosen ones."""
    decoded: list[list[int]] = []

    def decode(ids: np.ndarray) -> str:
        decoded.append(ids.tolist())
        return f"word {ids[0]}"

    ids = np.arange(80).reshape(40, 2)
    recorder.end(BatchEvent(texts=TokenTexts(jax.asarray(ids), decode)), 1.0, None, None)
    assert decoded == []
    landings.arrived = True
    recorder.settle()
    (record,) = ends.of(Kind.FRAME)
    assert len(decoded) == 16
    assert record["texts"] == [f"word {first}" for first, _ in decoded]
    assert all(first % 2 == 0 for first, _ in decoded)


def test_token_ids_in_memory_become_words(ends: Any, recorder: StepRecorder) -> None:
    """Texts told by token ids that can be read at once are decoded at once."""
    texts = TokenTexts(np.arange(40).reshape(20, 2), lambda ids: f"word {ids[0]}")
    recorder.end(BatchEvent(texts=texts), 1.0, None, None)
    (record,) = ends.of(Kind.FRAME)
    assert len(set(record["texts"])) == 16


@pytest.mark.parametrize(("mean", "kept"), [(0.5001, True), (0.6, False), (float("nan"), False)])
def test_losses_of_another_thing_are_left_out(
    jax: Any, ends: Any, recorder: StepRecorder, landings: Landings, mean: float, kept: bool
) -> None:
    """Losses of samples are shown only where their batch's mean is the loss of the batch."""
    batch = BatchEvent(
        images=jax.zeros((20, 8, 8)),
        sample_losses=jax.arange(20.0),
        mean_loss=jax.asarray(mean),
        batch_size=jax.asarray(64),
    )
    recorder.end(batch, jax.asarray(0.5), None, None)
    landings.arrived = True
    recorder.settle()
    (record,) = ends.of(Kind.FRAME)
    assert ("sample_losses" in record["arrays"]) is kept
    assert record["batch_size"] == 64


def test_rows_that_fill_up_an_array_are_left_out(
    jax: Any, ends: Any, problems: list[tuple[str, Exception]]
) -> None:
    """Of arrays filled up to a length only the samples are shown, once their number is here."""
    batch = BatchEvent(
        images=jax.asarray(np.arange(16 * 64.0).reshape(16, 8, 8)),
        outputs=jax.asarray(np.arange(16 * 10_000.0, dtype=np.float32).reshape(16, 10_000)),
        targets=jax.arange(16),
        count=jax.asarray(5.0),
    )
    sent, found = landed(batch, problems, ends, REQUEST)
    assert problems == []
    assert sent.rows.tolist() == [0, 1, 2, 3, 4]
    assert found["targets"].tolist() == [0, 1, 2, 3, 4]
    assert len(found["images"]) == len(found["outputs"]) == 5


def test_what_a_model_draws_is_no_prediction(ends: Any, recorder: StepRecorder) -> None:
    """Outputs and targets that are pictures themselves are not shown as numbers of a picture."""
    pictures = np.random.default_rng(0).random((20, 8, 8, 1), np.float32)
    batch = BatchEvent(images=pictures, outputs=pictures / 2, targets=pictures.copy())
    recorder.end(batch, 1.0, None, None)
    (record,) = ends.of(Kind.FRAME)
    assert "images" in record["arrays"]
    assert not {"outputs", "targets"} & record["arrays"].keys()
