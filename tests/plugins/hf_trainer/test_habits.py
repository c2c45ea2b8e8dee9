"""What is shown of other tasks, and what becomes of what is changed in mid-run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("transformers", reason="no hf_trainer found: transformers is not installed")

pytestmark = pytest.mark.timeout(650)

SENTENCE = "the cat sat on a mat"
SHOWN = {
    "multi_label": ([4, 1, 8, 8], [4, 3], [4, 3]),
    "tuples": ([4, 1, 8, 8], [4, 3], [4]),
    "smoothed": ([4, 1, 8, 8], [4, 3], [4]),
    "recomputed": ([4, 1, 8, 8], [4, 3], [4]),
    "workers": ([4, 1, 8, 8], [4, 3], [4]),
    "stream": ([4, 1, 8, 8], [4, 3], [4]),
    "nested": ([4, 1, 8, 8], [4, 3], [4]),
    "told": ([4, 1, 8, 8], [4, 3], [4]),
    "early_stopping": ([4, 1, 8, 8], [4, 3], [4]),
}
ONCE = (
    *SHOWN, "seq2seq", "answers", "choices", "tags", "gaps", "restored", "masked", "captions",
    "scored_boxes", "interrupted", "intervals", "asked_now", "clipped",
)  # fmt: skip


@pytest.fixture(scope="module")
def facts(run_trainings: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """What each training was told of, by its name; all ran in one process."""
    return run_trainings("habits.py")


@pytest.mark.parametrize("name", ONCE)
def test_nothing_fails(facts: dict[str, Any], name: str) -> None:
    """Each is one session, with samples, and nothing of ours raised."""
    fact = facts[name]
    assert "error" not in fact, fact.get("error")
    assert not [note for note in fact["notes"] if note.startswith("FAILED")]
    assert fact["sessions"] == 1
    assert fact["events"] >= 1


@pytest.mark.parametrize("name", SHOWN)
def test_pictures_predictions_and_truth(facts: dict[str, Any], name: str) -> None:
    """They come from the step, whatever the model takes and returns."""
    shown = facts[name]["shown"]
    assert (shown["images"], shown["outputs"], shown["targets"]) == SHOWN[name]


def test_what_was_chosen_is_said_once(facts: dict[str, Any]) -> None:
    """One note, with the line that says otherwise, also of what names do not tell."""
    (note,) = facts["nested"]["notes"]
    assert note.startswith("shown: batch['views']['left']; predictions: logits → 4×3; truth: batch")
    (note,) = facts["told"]["notes"]
    assert note.startswith("shown: views.left; predictions: logits → 4×3; truth: kind. Otherwise")
    (note,) = facts["seq2seq"]["notes"]
    assert note.startswith("shown: input_ids; predictions: words; truth: labels. Otherwise: Train")


def test_sequence_to_sequence(facts: dict[str, Any]) -> None:
    """The text, what was to be said, what the model would say, and each word's loss."""
    shown = facts["seq2seq"]["shown"]
    assert shown["texts"] == [SENTENCE]
    assert shown["target_texts"][0] in (SENTENCE, "a dog ran")
    assert len(shown["output_texts"][0].split()) <= 6
    asked = [word for word in shown["tokens"][0] if word]
    assert " ".join(asked) == shown["target_texts"][0]
    assert sum(not math.isnan(loss) for loss in shown["token_losses"][0]) == len(asked)
    assert any("eval_loss" in metrics for metrics in facts["seq2seq"]["metrics"])


def test_answers_pointed_out(facts: dict[str, Any]) -> None:
    """Of question answering, the words between the places that are true and that are said."""
    shown = facts["answers"]["shown"]
    assert shown["texts"] == [SENTENCE] * 4
    assert shown["target_texts"] == ["cat sat"] * 4
    assert len(shown["output_texts"]) == 4
    assert all(text in SENTENCE for text in shown["output_texts"])


def test_choices(facts: dict[str, Any]) -> None:
    """Of multiple choice, all choices, and which is said and true."""
    shown = facts["choices"]["shown"]
    assert shown["texts"][0] == f"0: {SENTENCE}\n1: a dog ran on the mat"
    assert (shown["outputs"], shown["targets"]) == ([4, 2], [4])


def test_tags(facts: dict[str, Any]) -> None:
    """Words with their tags; tokens without a label belong to the word before."""
    shown = facts["tags"]["shown"]
    assert shown["target_texts"] == ["the/THE catsat/BEAST on/PLACE"]
    assert [word.partition("/")[0] for word in shown["output_texts"][0].split()] == [
        "the", "catsat", "on",
    ]  # fmt: skip


def test_gaps(facts: dict[str, Any]) -> None:
    """Of a masked language model, the words that were hidden, and what the model puts there."""
    shown = facts["gaps"]["shown"]
    assert shown["texts"] == [SENTENCE]
    assert shown["target_texts"] == ["cat mat"]
    assert len(shown["output_texts"][0].split()) <= 2
    scored = [not math.isnan(loss) for loss in shown["token_losses"][0]]
    assert scored == [False, True, False, False, False, True]


def test_captions(facts: dict[str, Any]) -> None:
    """Pictures of which a model says words show what was to be said."""
    shown = facts["captions"]["shown"]
    assert shown["images"] == [4, 1, 8, 8]
    assert shown["target_texts"] == ["the cat"] * 4
    assert "targets" not in shown


@pytest.mark.parametrize("name", ["restored", "masked"])
def test_pictures_that_are_restored(facts: dict[str, Any], name: str) -> None:
    """They show, and neither patches nor masks pass for classes."""
    shown = facts[name]["shown"]
    assert shown["images"] == [4, 1, 8, 8]
    assert {"outputs", "targets", "target_texts"}.isdisjoint(shown)


def test_boxes_with_scores_of_their_own(facts: dict[str, Any]) -> None:
    """Scores may each be of their own, without a class for no object; noised truths are none."""
    first = facts["scored_boxes"]["shown"]["output_boxes"][0]
    assert first["boxes"][0] == [2.0, 3.0, 6.0, 5.0]
    assert first["labels"][0] == 1
    assert first["scores"][0] == pytest.approx(0.88, abs=0.01)
    assert all(math.isnan(edge) for edge in first["boxes"][1])  # not sure: no box


def test_a_smoothed_loss_is_the_batchs_own(facts: dict[str, Any]) -> None:
    """It is that of smoothed labels, without the scale of accumulation."""
    assert facts["smoothed"]["losses"] == pytest.approx(facts["smoothed"]["real"], rel=1e-5)


def test_recomputing_changes_nothing(facts: dict[str, Any]) -> None:
    """With gradient checkpointing the losses are those without it."""
    assert facts["recomputed"]["losses"] == pytest.approx(facts["workers"]["losses"], rel=1e-5)


def test_a_stream_without_a_length(facts: dict[str, Any]) -> None:
    """It is one epoch of as many batches as steps are wanted."""
    assert facts["stream"]["length"] == [1, 4]


def test_evaluating_alone_is_no_run(facts: dict[str, Any]) -> None:
    """Neither evaluate nor predict opens a session."""
    assert "error" not in facts["only_evaluated"]
    assert facts["only_evaluated"]["sessions"] == 0
    assert facts["only_evaluated"]["closed"] == []


def test_several_trainers_in_one_process(facts: dict[str, Any]) -> None:
    """Two models are two runs; the first, trained again, goes on with its own."""
    fact = facts["several"]
    first, second, third = fact["keys"]
    assert first == third != second
    assert [step for step, _, _ in fact["steps"]] == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7]


def test_early_stopping_is_an_end_like_any_other(facts: dict[str, Any]) -> None:
    """The Trainer stops by itself after two evaluations that are no better, and completes."""
    fact = facts["early_stopping"]
    assert len(fact["steps"]) == 6
    assert fact["closed"] == [["COMPLETED", ""]]


def test_ctrl_c_in_mid_epoch(facts: dict[str, Any]) -> None:
    """It is told at once as stopped, and the next training is another run."""
    fact = facts["interrupted"]
    assert fact["closed"] == [["STOPPED", "interrupted from the keyboard (KeyboardInterrupt)"]]
    assert len(fact["steps"]) == 2
    assert fact["after"]["closed"] == [["COMPLETED", ""]]


def test_intervals_hold_from_the_change_on(facts: dict[str, Any]) -> None:
    """After the third update: evaluated every second, saved every third, logged every one."""
    fact = facts["intervals"]
    assert fact["evaluated"] == [4, 6, 8]
    assert fact["saved"] == ["checkpoint-6", "checkpoint-8"]  # the last at the end, as always
    assert fact["logged"] == [4, 5, 6, 7, 8]


def test_saved_and_evaluated_now(facts: dict[str, Any]) -> None:
    """What is asked for after the first update is done at the end of the second, once."""
    assert facts["asked_now"]["saved"] == ["checkpoint-2"]
    assert facts["asked_now"]["evaluated"] == [2]


def test_no_evaluation_without_a_set(facts: dict[str, Any]) -> None:
    """It would end the training: it is refused, with what to do."""
    assert facts["clipped"]["refusals"]["evaluate"] == (
        "this Trainer has no evaluation set: give it one, Trainer(..., eval_dataset=...)"
    )
    assert facts["asked_now"]["refusals"]["evaluate"] == ""


def test_clipping_is_the_trainers_own(facts: dict[str, Any]) -> None:
    """The knob is the number that the Trainer reads at every update."""
    assert facts["clipped"]["norms"] == [1.0, 0.25]


def test_the_epoch_number_is_no_metric(facts: dict[str, Any]) -> None:
    """What transformers adds to every log is told otherwise, and not twice."""
    names = {name for metrics in facts["intervals"]["metrics"] for name in metrics}
    assert "eval_loss" in names
    assert names.isdisjoint({"epoch", "loss"})
