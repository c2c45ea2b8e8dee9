"""What is told of trainings as people's scripts have them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("transformers", reason="no hf_trainer found: transformers is not installed")

pytestmark = pytest.mark.timeout(650)


@pytest.fixture(scope="module")
def facts(run_trainings: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """What each training was told of, by its name; all ran in one process."""
    return run_trainings("trainings.py")


NAMES = (
    "plain", "accumulated", "halved", "smoothed", "compiled", "own_loss", "regression", "stream",
    "segmentation", "detection", "texts", "language", "resumed", "failing", "many_ways",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_nothing_fails(facts: dict[str, Any], name: str) -> None:
    """Each is one session, with samples, and nothing of ours raised."""
    fact = facts[name]
    assert "error" not in fact, fact.get("error")
    assert not [note for note in fact["notes"] if note.startswith("FAILED")]
    assert fact["sessions"] == 1
    assert fact["events"] >= 1


@pytest.mark.parametrize("name", ["plain", "accumulated", "halved"])
def test_the_loss_is_the_batches_own(facts: dict[str, Any], name: str) -> None:
    """It is that of the model's own logits, also with accumulation, where the Trainer scales it."""
    assert facts[name]["losses"] == pytest.approx(facts[name]["real"], rel=1e-3)


def test_every_micro_batch_is_a_step(facts: dict[str, Any]) -> None:
    """Three to an update, and one in the last of an epoch of ten."""
    assert [step for step, _, _ in facts["accumulated"]["steps"]] == list(range(10))


def test_the_trainer_is_left_as_it_was(facts: dict[str, Any]) -> None:
    """Nothing of ours stays on it."""
    assert facts["plain"]["left"] == []


@pytest.mark.parametrize("name", ["plain", "smoothed", "compiled", "own_loss", "stream"])
def test_pictures_predictions_and_truth(facts: dict[str, Any], name: str) -> None:
    """They come from the step, also where the truth is taken out of the inputs on the way."""
    shown = facts[name]["shown"]
    assert (shown["images"], shown["outputs"], shown["targets"]) == ([4, 1, 8, 8], [4, 3], [4])


def test_compiling_is_left_alone(facts: dict[str, Any]) -> None:
    """The model was compiled, and trained the same but for rounding."""
    assert facts["compiled"]["graphs"] >= 1
    assert facts["compiled"]["losses"] == pytest.approx(facts["plain"]["losses"], rel=1e-2)


def test_masks(facts: dict[str, Any]) -> None:
    """Segmentation shows a class for every pixel."""
    shown = facts["segmentation"]["shown"]
    assert (shown["outputs"], shown["targets"]) == ([4, 3, 8, 8], [4, 32, 32])


def test_boxes(facts: dict[str, Any]) -> None:
    """Detection shows true and predicted boxes, in pixels of the picture."""
    shown = facts["detection"]["shown"]
    (found,) = {json.dumps(each["boxes"]) for each in shown["output_boxes"]}
    assert json.loads(found) == [[2.0, 3.0, 6.0, 5.0]]
    assert [each["labels"] for each in shown["output_boxes"]] == [[1]] * 4
    assert shown["target_boxes"][0]["boxes"] == [[0.0, 0.0, 8.0, 8.0]]


def test_values(facts: dict[str, Any]) -> None:
    """Regression shows values."""
    assert facts["regression"]["shown"]["outputs"] == [4, 1]


def test_texts_that_are_classified(facts: dict[str, Any]) -> None:
    """The text is decoded, with logits and truth."""
    shown = facts["texts"]["shown"]
    assert shown["texts"] == ["the cat sat on a mat"] * 4
    assert (shown["outputs"], shown["targets"]) == ([4, 3], [4])


def test_a_language_model(facts: dict[str, Any]) -> None:
    """One sequence is shown, each token with its loss."""
    shown = facts["language"]["shown"]
    assert shown["tokens"] == [["the", "cat", "sat", "on", "a", "mat"]]
    losses = shown["token_losses"][0]
    assert math.isnan(losses[0])  # nothing comes before it
    assert sum(losses[1:]) / 5 == pytest.approx(facts["language"]["losses"][0], rel=0.3)


def test_a_resumed_run_goes_on(facts: dict[str, Any]) -> None:
    """Steps go on, as another attempt; a changed learning rate was in the checkpoint."""
    resumed = facts["resumed"]
    assert resumed["steps"] == [[step, 0, 1] for step in range(4, 8)]
    assert resumed["rates"] == resumed["first"]["rates"][4:]


def test_a_training_that_raises(facts: dict[str, Any]) -> None:
    """It is told at once as failed, with the error."""
    assert facts["failing"]["closed"] == [["FAILED", "ValueError: bad batch"]]


def test_three_ways_at_once_are_one_session(facts: dict[str, Any]) -> None:
    """By hand, by report_to and by itself; alone the last one works."""
    assert facts["many_ways"]["callbacks"] == 3
    assert [step for step, _, _ in facts["many_ways"]["steps"]] == [0, 1]
    assert facts["many_ways"]["automatic"]["sessions"] == 1
