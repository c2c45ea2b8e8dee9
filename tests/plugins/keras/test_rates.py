"""A learning rate stays changed, under every schedule of Keras, on every backend."""

from __future__ import annotations

import json

import pytest

from stack import eventually
from trainmon.v1.control_pb2 import AdjustLearningRate

NAMES = (
    "number",
    "ExponentialDecay",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "InverseTimeDecay",
    "CosineDecay",
    "CosineDecayRestarts",
    "LearningRateScheduler",
)
PATIENCE_S = 200
pytestmark = pytest.mark.timeout(300)  # the first of a backend waits for all schedules
FACTOR = 0.25


@pytest.fixture(scope="module")
def steered(backend, tmp_path_factory, trainings):
    """Every schedule, changed in mid-run: what each step was made with, and what was answered."""
    folder = tmp_path_factory.mktemp("schedules")
    answers, shown = {}, {}
    with trainings(folder, backend, "schedules.py", str(folder)) as (child, seen):
        for name in NAMES:
            session_id = eventually(
                lambda name=name: next(
                    (s.session_id for s in seen.sessions() if s.session_name == name), ""
                ),
                name,
                PATIENCE_S,
            )
            sent = seen.send(session_id, adjust_learning_rate=AdjustLearningRate(factor=FACTOR))
            answers[name] = seen.command(session_id, sent.command.command_id, "APPLIED", "REJECTED")
            answers[name] = eventually(
                lambda i=session_id, c=sent.command.command_id: seen.command(i, c, "APPLIED"),
                "the effective value",
                PATIENCE_S,
                lambda record: record.result.HasField("effective_value"),
            )
        assert child.wait(PATIENCE_S) == 0
        for summary in seen.sessions():
            series = seen.metrics(summary.session_id, "learning_rate")["learning_rate"]
            shown[summary.session_name] = list(series.values)
    return json.loads((folder / "rates.json").read_text()), answers, shown


@pytest.mark.parametrize("name", NAMES)
def test_every_step_has_the_scaled_rate(steered, name):
    """From the step that the answer names on, the rate is the schedule's, scaled by hand."""
    rates, expected = steered[0][name]["rates"], steered[0][name]["expected"]
    step = steered[1][name].result.applied_at_step
    assert len(rates) > step
    assert rates[:step] == pytest.approx(expected[:step], rel=1e-6)
    # A LearningRateScheduler is asked at the next epoch; what is in force is scaled at once.
    assert rates[step:] == pytest.approx([FACTOR * each for each in expected[step:]], rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_step_itself_has_that_rate(steered, name):
    """What the compiled step was made with is what the optimizer says, not what it said before."""
    assert steered[2][name] == pytest.approx(steered[0][name]["rates"], rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_old_new_and_effective_value_are_told(steered, name):
    """The base before and after, and the rate with which the next step was made."""
    result = steered[1][name].result
    assert result.applied_value == pytest.approx(FACTOR * result.previous_value, rel=1e-6)
    rates = steered[0][name]["rates"]
    near = rates[result.applied_at_step : result.applied_at_step + 3]
    assert any(result.effective_value == pytest.approx(rate, rel=1e-5) for rate in near)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_keeps_the_change(steered, name):
    """A model saved after the change and loaded again goes on with the changed rate."""
    told = steered[0][name]
    assert told["loaded"] == pytest.approx(told["saved"], rel=1e-6)
