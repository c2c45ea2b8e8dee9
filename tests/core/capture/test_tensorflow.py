"""TensorFlow's tensors on an accelerator are read by a thread of ours, never by the training's.

No accelerator is needed: tensors of the CPU are called those of one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trainmon.capture import arrays, landing, reader_thread
from trainmon.capture.reader_thread import Job, ReaderThread
from trainmon.capture.steps import StepRecorder
from trainmon.channel import Kind, Real
from trainmon.events import BatchEvent

pytestmark = pytest.mark.timeout(120)  # TensorFlow takes its time to be imported


class Held:
    """Jobs are not done before the test says so; notes which threads did them."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.threads: set[str] = set()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """Hold the reading of tensors; what has begun by the end of the test goes on."""
    told = Held()
    read = Job.read

    def hold(self: Job) -> None:
        told.threads.add(threading.current_thread().name)
        assert told.go.wait(30)
        read(self)

    monkeypatch.setattr(Job, "read", hold)
    monkeypatch.setattr(reader_thread, "_IDLE_S", 0.1)
    yield told
    told.go.set()


@pytest.fixture
def tf(monkeypatch: pytest.MonkeyPatch) -> Any:
    """TensorFlow, whose tensors count as lying on an accelerator."""
    tensorflow = pytest.importorskip("tensorflow")
    place_of = arrays.place_of

    def placed(value: Any) -> str:
        return "gpu" if arrays.framework_of(value) == "tensorflow" else place_of(value)

    monkeypatch.setattr(arrays, "place_of", placed)
    return tensorflow


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


def test_the_training_reads_no_tensor(
    tf: Any, held: Held, ends: Any, recorder: StepRecorder, problems: list[tuple[str, Exception]]
) -> None:
    """Loss, metrics and samples come once a thread of ours has read them, all of the same rows."""
    images = np.arange(40 * 64 * 48 * 3).reshape(40, 64, 48, 3) % 251
    outputs = np.arange(40 * 400, dtype=np.float32).reshape(40, 400)
    batch = BatchEvent(
        images=tf.constant(images, tf.uint8),
        outputs=tf.constant(outputs),
        targets=tf.constant(np.arange(40)),
        batch_size=tf.constant(40),
    )
    recorder.end(batch, tf.constant(0.5), {"accuracy": tf.constant(0.25)}, None)
    recorder.end(None, tf.constant(0.75), None, None)
    assert ends.of(Kind.STEP) == []
    held.go.set()
    recorder.finish(30)
    records = ends.records()
    assert [step.loss for kind, step in records if kind is Kind.STEP] == [0.5, 0.75]
    (record,) = (record for kind, record in records if kind is Kind.FRAME)
    found = ends.relay.slots.arrays(record["slot"], record["arrays"])
    rows = np.array(found["sample_indices"]) if "sample_indices" in found else None
    targets = np.array(found["targets"])
    shown = targets if rows is None else rows
    np.testing.assert_array_equal(targets, shown)
    np.testing.assert_array_equal(np.array(found["images"])[:, 0, 0], images[shown][:, 0, 0])
    np.testing.assert_array_equal(np.array(found["outputs"]), outputs[shown])
    del found
    assert (record["batch_size"], record["loss"]) == (40, 0.5)
    assert problems == []
    assert held.threads == {"trainmon-reader"}


def test_no_thread_before_it_is_needed(ends: Any, recorder: StepRecorder) -> None:
    """Numbers in memory start no thread."""
    recorder.end(None, 0.5, {"accuracy": np.float32(1)}, None)
    assert "trainmon-reader" not in {thread.name for thread in threading.enumerate()}


def test_a_tensor_that_cannot_be_read_costs_no_other(tf: Any, held: Held) -> None:
    """What goes wrong is raised where the arrays are asked for, and the thread goes on."""
    held.go.set()
    reader = ReaderThread()
    bad, good = Job([SimpleNamespace(numpy=lambda: 1 / 0)]), Job([tf.constant(2.0)])
    reader.take(bad)
    reader.take(good)
    while not good.ready():
        pass
    with pytest.raises(ZeroDivisionError):
        bad.arrays()
    assert good.arrays() == [2.0]


def test_what_waits_for_the_thread_is_bounded(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a limit a step is refused, so that a device that hangs fills no memory."""
    monkeypatch.setattr(reader_thread, "_MOST_WAITING", 3)
    reader = ReaderThread()

    def take_ten() -> None:
        for _ in range(10):
            reader.take(Job([]))

    with pytest.raises(RuntimeError, match="3 steps wait"):
        take_ten()


def test_the_thread_ends_and_comes_again(held: Held) -> None:
    """A thread that found nothing to do ends; the next tensor starts another."""
    held.go.set()
    reader = ReaderThread()
    for _ in range(2):
        job = Job([])
        reader.take(job)
        thread = reader._thread
        assert thread is not None
        thread.join(30)
        assert job.ready()
        assert reader._thread is None


def test_text_and_graphs_are_not_sent_for(tf: Any) -> None:
    """Of TensorFlow only what has numbers now can be fetched."""
    assert landing.can_fetch(tf.constant(1.0))
    assert not landing.can_fetch(tf.constant("text"))
    assert not landing.can_fetch(tf.keras.Input((2,)))
