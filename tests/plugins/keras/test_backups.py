"""A fit that goes on from Keras' own backup: rates as they were changed, counts as they stood."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.timeout(550)  # the first of a backend waits for all scripts

FACTOR = 0.25


def _decay(step: int) -> float:
    return 0.5 * 0.5 ** (step / 10)


def _went_on(restored: Any, name: str) -> Any:
    """Return the session that went on; the first broke off."""
    (_, second) = restored.summaries(name)
    return second.session_id


@pytest.mark.parametrize("name", ["schedule_restored", "schedule_restored_before"])
def test_a_changed_schedule_is_restored(restored: Any, name: str) -> None:
    """A backup has no schedule; a new model goes on with the changed one, whoever comes first."""
    before, after = restored.fact(name)
    assert before[3:] == pytest.approx([FACTOR * _decay(n) for n in range(3, 9)], rel=1e-5)
    assert after == pytest.approx([FACTOR * _decay(8 + n) for n in range(len(after))], rel=1e-5)


@pytest.mark.parametrize("name", ["schedule_restored", "schedule_restored_before"])
def test_the_compiled_step_has_it(restored: Any, name: str) -> None:
    """The rate that the step itself returns is the restored one, from the first on."""
    series = restored.seen.metrics(_went_on(restored, name), "learning_rate")["learning_rate"]
    assert list(series.values) == pytest.approx(restored.fact(name)[1], rel=1e-5)


def test_a_callbacks_factor_is_restored(restored: Any) -> None:
    """What a LearningRateScheduler answers is multiplied from the first epoch on."""
    _, after = restored.fact("scheduler_restored")
    assert after == pytest.approx([FACTOR * 0.5 / 3] * 4 + [FACTOR * 0.5 / 4] * 4)


@pytest.mark.parametrize("name", ["number_restored", "accumulated_restored"])
def test_a_number_is_changed_once(restored: Any, name: str) -> None:
    """It is among the variables of the backup."""
    _, after = restored.fact(name)
    assert after == pytest.approx([FACTOR * 0.5] * 8)


def test_a_model_that_goes_back_has_its_rate_of_then(restored: Any) -> None:
    """In one process a change after the backup is undone with the weights."""
    _, after = restored.fact("schedule_restored_in_one_process")
    assert after == pytest.approx([_decay(4 + n) for n in range(12)], rel=1e-5)


def test_another_schedule_is_left_alone(restored: Any) -> None:
    """What the script has changed itself is not changed by us, and that is said."""
    _, after = restored.fact("other_schedule_restored")
    assert after == pytest.approx([_decay(8 + n) / 2 for n in range(8)], rel=1e-5)
    notes = restored.seen.snapshot(_went_on(restored, "other_schedule_restored")).notes
    assert any("the script has another schedule" in note for note in notes)


#: By script, the step and the epoch at which it goes on.
PLACES = {
    "schedule_restored": (8, 2),
    "accumulated_restored": (8, 2),
    "restored_within_the_first_epoch": (3, 0),
}


@pytest.mark.parametrize("name", PLACES)
def test_counts_and_attempts_go_on(restored: Any, name: str) -> None:
    """Steps, also those of accumulated gradients, and epochs continue; it is a second attempt."""
    step, epoch = PLACES[name]
    session = _went_on(restored, name)
    series = restored.seen.metrics(session, "loss")["loss"]
    assert list(series.steps) == list(range(step, step + 4 * (4 - epoch)))
    assert series.attempt == 1
    epochs = restored.seen.snapshot(session).epochs
    assert [each.epoch for each in epochs] == list(range(epoch, 4))
    assert {each.attempt for each in epochs} == {1}


def test_a_backup_without_our_file_goes_on(restored: Any) -> None:
    """What broke off left nothing of ours: the step is that of the optimizer's variables."""
    session = restored.summary("restored_without_ours").session_id
    steps = restored.seen.metrics(session, "loss")["loss"].steps
    assert list(steps) == list(range(8, 16))
    assert {each.attempt for each in restored.seen.snapshot(session).epochs} == {0}


def test_a_run_in_one_process_is_one_run(restored: Any) -> None:
    """Its fifth to seventh step are trained again, as another attempt."""
    (session,) = restored.summaries("schedule_restored_in_one_process")
    epochs = restored.seen.snapshot(session.session_id).epochs
    assert [(each.epoch, each.attempt) for each in epochs] == [(0, 0), (1, 1), (2, 1), (3, 1)]
