"""What a monitor has of a Trainer's samples: pixels, names and losses."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("grpc")
pytest.importorskip("transformers", reason="no hf_trainer found: transformers is not installed")

import numpy as np
from PIL import Image

from stack import eventually, stack
from trainmon.v1.dashboard_pb2 import GetBatchRequest, SessionState
from trainmon.v1.telemetry_pb2 import BatchData
from viewer import viewer

HERE = Path(__file__).parent
PATIENCE_S = 200
pytestmark = pytest.mark.timeout(300)

CLASSES = (
    "normalised", "class_label", "channels_last", "channels_first", "one_hot", "overridden", "half",
)  # fmt: skip


@dataclass
class Shown:
    """What the monitor has of each run, by its name: the first batch, the notes, every loss."""

    batch: Callable[[str], BatchData]
    notes: Callable[[str], str]
    losses: Callable[[str], list[float]]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """What a monitor has of each training; all ran in one process, and completed."""
    folder = tmp_path_factory.mktemp("shown")
    with stack(folder / "home") as processes:
        _, address = processes.monitor()
        command = [sys.executable, str(HERE / "shown.py"), str(folder)]
        child = processes.start(
            "shown", command, TRAINMON_MONITOR=address, TRAINMON_EXIT_TIMEOUT="20",
            OMP_NUM_THREADS="1", PYTHONPATH=str(HERE),
        )  # fmt: skip
        child.pass_on(sys.stderr)
        assert child.wait(PATIENCE_S) == 0
        with viewer(address) as seen:
            done = SessionState.SESSION_STATE_COMPLETED
            sessions = eventually(
                seen.sessions,
                "all runs completed",
                60,
                lambda runs: {run.state for run in runs} == {done},
            )
            runs = {each.session_name: each for each in sessions}

            def batch(name: str) -> BatchData:
                request = GetBatchRequest(session_id=runs[name].session_id, step=0)
                return seen._stub.GetBatch(request, timeout=10).batch_data

            def notes(name: str) -> str:
                return "\n".join(seen.snapshot(runs[name].session_id).notes)

            def losses(name: str) -> list[float]:
                return list(seen.metrics(runs[name].session_id, "loss")["loss"].values)

            yield Shown(batch, notes, losses)


def _pixels(batch: BatchData) -> np.ndarray:
    """Return the first picture, (H, W, C)."""
    image = Image.open(io.BytesIO(batch.images[0].image_bytes)).convert("RGB")
    return np.asarray(image, float)


@pytest.mark.parametrize("name", CLASSES)
def test_each_sample_has_all_its_parts(shown: Shown, name: str) -> None:
    """Picture, prediction, truth and loss; the losses' mean is that of their batches'."""
    batch = shown.batch(name)
    parts = (batch.images, batch.predictions, batch.ground_truth, batch.sample_losses)
    assert {len(part) for part in parts} <= {4, 8, 12, 16}  # of one batch, or of as many as came
    assert all(len(part) == len(batch.images) for part in parts)
    assert {each.predicted_class for each in batch.predictions} <= {0, 1, 2}
    assert {each.true_class for each in batch.ground_truth} <= {0, 1, 2}
    of_batches = shown.losses(name)
    wanted = np.mean([of_batches[int(step)] for step in batch.sample_steps or [0]])
    rel = 1e-2 if name == "half" else 1e-4
    assert np.mean(batch.sample_losses) == pytest.approx(wanted, rel=rel)


def test_one_logit_is_one_of_two_classes(shown: Shown) -> None:
    """Predicted and true."""
    batch = shown.batch("single_logit")
    assert {each.true_class for each in batch.ground_truth} <= {0, 1}
    assert {each.predicted_class for each in batch.predictions} <= {0, 1}
    assert len(batch.predictions) == len(batch.ground_truth) == len(batch.images)


def test_normalisation_is_undone(shown: Shown) -> None:
    """By the image processor's own numbers: pixels are as light as they were."""
    assert _pixels(shown.batch("normalised")).mean() == pytest.approx(0.8 * 255, abs=2)


@pytest.mark.parametrize("name", ["channels_last", "channels_first", "one_hot"])
def test_colours_are_colours(shown: Shown, name: str) -> None:
    """Wherever the channels are."""
    colour = _pixels(shown.batch(name)).mean(axis=(0, 1))
    assert colour == pytest.approx([255, 127.5, 0], abs=6)


def test_classes_have_the_models_names(shown: Shown) -> None:
    """Those of ``id2label``."""
    assert {each.true_label for each in shown.batch("overridden").ground_truth} <= {
        "zero",
        "one",
        "two",
    }


def test_classes_have_the_datasets_names(shown: Shown) -> None:
    """Where the model has none: those of ``datasets.ClassLabel``."""
    batch = shown.batch("class_label")
    assert {each.true_label for each in batch.ground_truth} <= {"cat", "dog", "owl"}
    assert {each.predicted_label for each in batch.predictions} <= {"cat", "dog", "owl"}


def test_losses_that_cannot_be_checked_are_not_shown(shown: Shown) -> None:
    """Of large predictions a few rows are copied; then it is said that there are no losses."""
    batch = shown.batch("many_classes")
    assert len(batch.images) == len(batch.predictions) == 16
    assert not batch.sample_losses
    assert shown.notes("many_classes").count("losses of single samples are not shown") == 1
    assert "losses of single samples" not in shown.notes("overridden")
