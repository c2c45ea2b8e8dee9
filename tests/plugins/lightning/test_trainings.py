"""What is told of trainings as people's scripts have them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning", reason="no lightning found: it is not installed")

HERE = Path(__file__).parent

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was told of each training, by its name; all ran in one process."""
    folder = tmp_path_factory.mktemp("trainings")
    environment = {
        **os.environ,
        "TRAINMON_MONITOR": "127.0.0.1:9",  # the discard port: nobody listens
        "TRAINMON_HOME": str(folder / "home"),
        "TRAINMON_EXIT_TIMEOUT": "0",
        "TRAINMON_RELAY_LINGER": "0",
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run(
        [sys.executable, str(HERE / "trainings.py"), str(folder)],
        env=environment, timeout=300, check=True,
    )  # fmt: skip
    told: dict[str, Any] = json.loads((folder / "facts.json").read_text())
    return told


SHOWN = {
    "plain": ([4, 1, 8, 8], [4, 3], [4]),
    "accumulated": ([4, 1, 8, 8], [4, 3], [4]),
    "halved": ([4, 1, 8, 8], [4, 3], [4]),
    "compiled": ([4, 1, 8, 8], [4, 3], [4]),
    "by_newton": ([4, 1, 8, 8], [4, 3], [4]),
    "stream": ([4, 1, 8, 8], [4, 3], [4]),
    "workers": ([4, 1, 8, 8], [4, 3], [4]),
    "named": ([4, 1, 8, 8], [4, 3], [4]),
    "returned": ([4, 1, 8, 8], [4, 3], [4]),
    "told": ([4, 1, 8, 8], [4, 3], [4]),
    "channels_last": ([4, 8, 8, 3], [4, 3], [4]),
    "many_classes": ([48, 1, 8, 8], [48, 1000], [48]),
    "scaled": ([4, 1, 8, 8], [4, 3], [4]),
    "normalised": ([4, 1, 8, 8], [4, 3], [4]),
    "one_hot": ([4, 1, 8, 8], [4, 3], [4, 3]),
    "binary": ([4, 1, 8, 8], [4], [4]),
    "multi_label": ([4, 1, 8, 8], [4, 3], [4, 3]),
    "regression": ([4, 1, 8, 8], [4, 1], [4, 1]),
    "segmentation": ([4, 1, 8, 8], [4, 3, 8, 8], [4, 8, 8]),
}
OTHERS = (
    "gan", "detection", "table", "autoencoder", "embedding", "tokens", "told_texts", "objections",
    "early_stopping", "stopped", "several_validations", "fitted_twice", "resumed", "pickled",
    "failing", "interrupted", "many_ways", "only_tested", "copied", "knobs",
)  # fmt: skip


@pytest.mark.parametrize("name", [*SHOWN, *OTHERS])
def test_nothing_of_ours_fails(facts: dict[str, Any], name: str) -> None:
    """The training runs, and nothing of ours raised in it."""
    fact = facts[name]
    assert "error" not in fact, fact.get("error")
    assert not [note for note in fact["notes"] if note.startswith("FAILED")]


@pytest.mark.parametrize("name", SHOWN)
def test_pictures_predictions_and_truth(facts: dict[str, Any], name: str) -> None:
    """They come from the step, whatever its batches and its loss are like."""
    shown = facts[name]["shown"]
    assert (shown["images"], shown["outputs"], shown["targets"]) == SHOWN[name]
    assert facts[name]["events"] == len(facts[name]["steps"])


@pytest.mark.parametrize("name", SHOWN)
def test_the_loss_is_the_batchs_own(facts: dict[str, Any], name: str) -> None:
    """It is what training_step computed, without Lightning's division by accumulation."""
    assert facts[name]["losses"] == pytest.approx(facts[name]["real"], rel=1e-6)


def test_what_was_chosen_is_said_once(facts: dict[str, Any]) -> None:
    """With the line that says otherwise."""
    (note,) = facts["named"]["notes"]
    assert note.startswith(
        "images: batch['image']; predictions: cross_entropy's argument → 4×3; "
        "truth: batch['label'] (TrainmonCallback("
    )
    assert "predictions: training_step's 'logits'" in facts["returned"]["notes"][0]
    assert "images: 'a.b' (as told); predictions: net" in facts["told"]["notes"][0]


def test_where_the_loss_of_each_sample_is_unknown_is_said(facts: dict[str, Any]) -> None:
    """Masks have none; what goes to the relay whole has it, and nothing is said."""
    said = "; loss of each sample: not shown, predictions are masks"
    assert said in facts["segmentation"]["notes"][0]
    assert "not shown" not in facts["many_classes"]["notes"][0]


def test_a_data_module_names_the_classes(facts: dict[str, Any]) -> None:
    """Where the line names none."""
    assert facts["normalised"]["info"][0]["class_names"] == ["zero", "one", "two"]


def test_the_module_is_left_as_it_was(facts: dict[str, Any]) -> None:
    """No hook stays, and torch's losses are torch's."""
    assert facts["plain"]["hooks"] == 0
    assert facts["plain"]["loss_is_torchs"] == "torch.nn.functional"


def test_capture_compiles_nothing_again(facts: dict[str, Any]) -> None:
    """A compiled net has one graph, with pictures taken of every step."""
    assert facts["compiled"]["graphs"] == 1


def test_validation_goes_with_its_epoch(facts: dict[str, Any]) -> None:
    """Its loss and accuracy are the epoch's; the run shows as evaluating meanwhile."""
    (epoch,) = facts["plain"]["epochs"]
    assert epoch["validation_loss"] > 0
    assert 0 <= epoch["validation_accuracy"] <= 1
    assert facts["plain"]["states"] == ["EVALUATING", "RUNNING"]
    assert facts["accumulated"]["epochs"][0]["validation_loss"] is None


def test_a_validation_within_the_epoch_goes_with_the_next_batch(facts: dict[str, Any]) -> None:
    """What it found is a metric of the batch after it."""
    told = ["val_loss" in metrics for metrics in facts["several_validations"]["metrics"]]
    assert told == [False, True, True, True, True, True]


def test_the_rate_is_that_of_the_batch(facts: dict[str, Any]) -> None:
    """The schedule's next value is not told before it is in force."""
    rates = [metrics["learning_rate"] for metrics in facts["plain"]["metrics"]]
    assert rates == [0.125, 0.125, 0.0625]


def test_two_optimizers_by_hand(facts: dict[str, Any]) -> None:
    """A GAN's steps count once each; both losses and rates are told, and no guess is shown."""
    fact = facts["gan"]
    assert [step for step, _, _ in fact["steps"]] == [0, 1, 2]
    assert set(fact["metrics"][0]) == {"learning_rate", "learning_rate_1", "loss_2"}
    assert None not in fact["losses"]
    assert "outputs" not in fact["shown"]


def test_boxes(facts: dict[str, Any]) -> None:
    """Detection shows pictures of any size with their true boxes."""
    shown = facts["detection"]["shown"]
    assert shown["images"] == [[1, 6, 8], [1, 7, 8]]
    assert shown["target_boxes"][0]["boxes"] == [[1.0, 1.0, 4.0, 5.0]]


def test_a_table_shows_all_but_samples(facts: dict[str, Any]) -> None:
    """Losses and rates are told where there are no pictures."""
    assert (facts["table"]["events"], len(facts["table"]["losses"])) == (0, 3)


def test_what_nobody_can_read_is_no_prediction(facts: dict[str, Any]) -> None:
    """Neither an autoencoder's code, nor an embedding of samples whose classes have names."""
    for name in ("autoencoder", "embedding"):
        shown = facts[name]["shown"]
        assert shown["images"] == [4, 1, 8, 8]
        assert "outputs" not in shown
        assert "predictions: none found" in facts[name]["notes"][0]


def test_token_ids_are_shown_as_text(facts: dict[str, Any]) -> None:
    """By the tokenizer that the module has; classes are found beside them."""
    fact = facts["tokens"]
    assert fact["shown"]["texts"] == [f"w{n} w{n + 1} w{n + 2} w{n + 3}" for n in range(8, 12)]
    assert (fact["shown"]["outputs"], fact["shown"]["targets"]) == ([4, 3], [4])
    assert fact["notes"][0].startswith("texts: batch['input_ids'], decoded; predictions: ")


def test_texts_are_what_the_user_says(facts: dict[str, Any]) -> None:
    """A function of the batch returns them."""
    assert facts["told_texts"]["shown"]["texts"] == ["row 16", "row 18", "row 20", "row 22"]


def test_what_cannot_be_shown_is_said(facts: dict[str, Any]) -> None:
    """Once, with what there is in the batch, and the line that helps."""
    (note,) = facts["table"]["notes"]
    told = "no samples are shown: no pictures or texts in batch[0] of 4×5, batch[1] of 4×1 ("
    assert note.startswith(told + "TrainmonCallback(images=…, texts=…")


def test_objections_are_told_beforehand(facts: dict[str, Any]) -> None:
    """What ranks vote with: the reasons for which a command would be refused."""
    told = facts["objections"]["told"]
    assert "nothing to evaluate with" in told["evaluate"]
    assert "the learning rate cannot be -1" in told["adjust_learning_rate"]
    assert facts["objections"]["notes"][0].startswith("images: ")


def test_what_is_known_of_the_run(facts: dict[str, Any]) -> None:
    """Class names, length and hyperparameters come from data, Trainer and module."""
    assert facts["named"]["info"][0]["class_names"] == ["zero", "one", "two"]
    assert facts["told"]["info"][0]["class_names"] == ["a", "b", "c"]
    (info,) = facts["plain"]["info"]
    assert (info["total_epochs"], info["batches_per_epoch"]) == (1, 3)
    assert info["parameters"]["rate"] == "0.125"
    assert facts["stream"]["info"][0]["batches_per_epoch"] is None


def test_early_stopping(facts: dict[str, Any]) -> None:
    """It completes, and who ended it is said."""
    ((state, message),) = facts["early_stopping"]["closed"]
    assert state == "COMPLETED"
    assert "EarlyStopping of 'val_loss'" in message


def test_a_stop_waits_for_the_least_epochs(facts: dict[str, Any]) -> None:
    """As Lightning ends: after min_epochs, and the page says so."""
    fact = facts["stopped"]
    assert len(fact["steps"]) == 6
    assert "STOPPING" in fact["states"]
    ((state, message),) = fact["closed"]
    assert state == "STOPPED"
    assert message


def test_a_name_that_is_not_there_is_told(facts: dict[str, Any]) -> None:
    """The training goes on, and what there is in the batch is said."""
    fact = facts["wrongly_told"]
    assert len(fact["steps"]) == 3
    assert "'nowhere' names nothing" in fact["notes"][0]
    assert fact["closed"] == [["COMPLETED", ""]]


def test_two_fits_of_one_trainer(facts: dict[str, Any]) -> None:
    """They are one run, whose counts go on."""
    fact = facts["fitted_twice"]
    assert fact["steps"] == [[step, step // 3, 0] for step in range(6)]
    assert len({info["run_key"] for info in fact["info"]}) == 1
    assert [info["total_epochs"] for info in fact["info"]] == [1, 2]


def test_a_resumed_fit_goes_on(facts: dict[str, Any]) -> None:
    """Steps go on, as another attempt; a changed learning rate was in the checkpoint."""
    resumed = facts["resumed"]
    assert resumed["steps"] == [[step, 2, 1] for step in range(resumed["goes_on_at"], 9)]
    rates = [metrics["learning_rate"] for metrics in resumed["first"]["metrics"]]
    assert rates[:3] == [0.125, 0.125, 0.125 * 0.25 * 0.5]
    assert resumed["metrics"][0]["learning_rate"] == rates[8] == 0.125 * 0.25 * 0.5**4


def test_modules_can_be_saved_and_copied_in_mid_step(facts: dict[str, Any]) -> None:
    """A checkpoint that holds the net whole loads and runs without trainmon, and so do copies."""
    assert facts["pickled"]["answers"] == [True] * 4
    assert not facts["pickled"]["names_us"]
    assert facts["pickled"]["hooks"] == [0]
    assert facts["pickled"]["info"][0]["parameters"]["net"] == "Sequential"


def test_a_fit_that_raises(facts: dict[str, Any]) -> None:
    """It is told as failed, with the error; Ctrl-C as stopped."""
    assert facts["failing"]["closed"] == [["FAILED", "ValueError: bad batch"]]
    ((state, message),) = facts["interrupted"]["closed"]
    assert state == "STOPPED"
    assert "KeyboardInterrupt" in message


def test_ways_in_at_once_are_one_session(facts: dict[str, Any]) -> None:
    """The callback by hand works beside the automatic one, which works alone."""
    fact = facts["many_ways"]
    assert (fact["callbacks"], fact["sessions"], fact["automatic"]["sessions"]) == (2, 1, 1)
    assert fact["info"][0]["session_name"] == "by hand"


def test_only_fits_are_shown(facts: dict[str, Any]) -> None:
    """Neither test nor validate opens a session."""
    assert facts["only_tested"]["sessions"] == 0


def test_a_callback_can_be_copied_and_sent(facts: dict[str, Any]) -> None:
    """As for processes that are spawned: what the user said is kept."""
    assert facts["copied"]["kinds"] == [True, True]
    assert facts["copied"]["info"][0]["session_name"] == "a name"


def test_knobs(facts: dict[str, Any]) -> None:
    """The user's and Lightning's do what they say."""
    assert facts["knobs"]["turned"] == [0.5, 1.0, 1.0, 2]
