"""What every adapter keeps, whatever its framework: held against the framework's own account.

Four trainings per adapter: two fits, one that is steered, one that fails, and one whose script
knows nothing of trainmon. README.md says what a driver is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import grpc
import pytest

from contract import NOTHING
from contract_trainings import PATIENCE_S, Training, started
from stack import eventually
from trainmon.v1.control_pb2 import (
    AdjustLearningRate,
    CommandRecord,
    CommandState,
    Evaluate,
    Pause,
    Resume,
    SaveCheckpoint,
    SetControl,
    Stop,
)

pytestmark = pytest.mark.timeout(300)  # a framework takes its time to be imported

CLASSES = ["cat", "dog", "owl"]
#: More than any test waits for.
ENDLESS = 100_000


@pytest.fixture(scope="module")
def folder(driver: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the trainings of one adapter."""
    return tmp_path_factory.mktemp(driver.__name__)


# --- two fits -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted_twice(driver: ModuleType, folder: Path) -> Iterator[Training]:
    """A training of two fits of one model, two epochs of five batches each, that has ended."""
    session = {"name": "contract", "class_names": CLASSES}
    with started(driver, folder / "twice", fits=2, session=session) as training:
        assert training.child.wait(PATIENCE_S) == 0
        yield training


def test_two_fits_are_one_run(fitted_twice: Training) -> None:
    """Both fits are one session, completed, with the batches of both."""
    summary = fitted_twice.seen.in_state("COMPLETED")
    assert summary.global_step == 19
    assert summary.framework == fitted_twice.driver.FRAMEWORK
    assert len(fitted_twice.log("batch")) == 20


def test_what_the_line_says_is_shown(fitted_twice: Training) -> None:
    """The name and the classes that the script gives are the run's."""
    summary = fitted_twice.seen.in_state("COMPLETED")
    registration = fitted_twice.seen.snapshot(summary.session_id).registration
    assert registration.session_name == "contract"
    assert list(registration.class_names) == CLASSES
    assert registration.batches_per_epoch == 5
    assert registration.total_epochs == 4


def test_events_come_in_order(fitted_twice: Training) -> None:
    """Observers hear of start, batches, each epoch after its batches, and one end, for each fit."""
    fitted_twice.seen.in_state("COMPLETED")
    diary = eventually(
        fitted_twice.observed, "two ends", until=lambda told: _names(told).count("ended") == 2
    )
    relays = list(dict.fromkeys(line[0] for line in diary))
    fits = [[line[1:] for line in diary if line[0] == relay] for relay in relays]
    assert len(fits) == 2
    for number, fit in enumerate(fits):
        epochs = (2 * number, 2 * number + 1)
        wanted = [["started"]]
        for epoch in epochs:
            wanted += [["batch", str(5 * epoch + batch), str(epoch)] for batch in range(5)]
            wanted += [["epoch", str(epoch)]]
        told = [line[: len(expected)] for line, expected in zip(fit, wanted, strict=False)]
        assert told == wanted
        assert [line[0] for line in fit[len(wanted) :]] == ["ended"]
    assert fits[0][0] == fits[1][0]  # the same run


def test_every_batch_has_its_loss(fitted_twice: Training) -> None:
    """The loss of each batch is the framework's own."""
    summary = fitted_twice.seen.in_state("COMPLETED")
    told = fitted_twice.seen.metrics(summary.session_id, "loss")["loss"]
    assert list(told.steps) == list(range(20))
    real = [batch["loss"] for batch in fitted_twice.log("batch")]
    for shown, loss in zip(told.values, real, strict=True):
        assert loss is None or shown == pytest.approx(loss, rel=1e-4)


def test_every_epoch_is_kept_once(fitted_twice: Training) -> None:
    """Epochs go on where the fit before left them, each told once."""
    summary = fitted_twice.seen.in_state("COMPLETED")
    epochs = fitted_twice.seen.snapshot(summary.session_id).epochs
    assert [epoch.epoch for epoch in epochs] == [0, 1, 2, 3]


def test_ending_again_changes_nothing(fitted_twice: Training) -> None:
    """The adapter's end was called twice more, and nothing failed or was told again."""
    summary = fitted_twice.seen.in_state("COMPLETED")
    assert [line["event"] for line in fitted_twice.log()][-1] == "returned"
    notes = fitted_twice.seen.snapshot(summary.session_id).notes
    assert not [note for note in notes if "Error" in note]


def test_nothing_is_left_over(fitted_twice: Training) -> None:
    """After each fit none of our threads runs, and the second leaves no descriptor more."""
    first, second = fitted_twice.log("fit_ended")
    for end in (first, second):
        assert not [name for name in end["threads"] if name.startswith("trainmon")]
    assert second["descriptors"] <= first["descriptors"]


# --- steered --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def steered(driver: ModuleType, folder: Path) -> Iterator[Training]:
    """A training without end."""
    with started(driver, folder / "steered", epochs=ENDLESS, pace_s=0.005) as training:
        training.seen.session(lambda summary: summary.global_step >= 3, PATIENCE_S)
        yield training


def _run(training: Training, **action: object) -> CommandRecord:
    """Send a command and return its record once it has ended."""
    session_id = training.seen.session().session_id
    sent = training.seen.send(session_id, **action)
    return training.seen.command(
        session_id, sent.command.command_id, "APPLIED", "REJECTED", "EXPIRED"
    )


def _applied(training: Training, **action: object) -> CommandRecord:
    record = _run(training, **action)
    assert record.state == CommandState.COMMAND_STATE_APPLIED, record.result.message
    return record


def _refusal(training: Training, **action: object) -> str:
    """Return why a command is refused, by the training or already by the monitor."""
    try:
        record = _run(training, **action)
    except grpc.RpcError as error:
        return error.details() or ""
    assert record.state == CommandState.COMMAND_STATE_REJECTED
    return record.result.message


def test_the_controls_are_declared(steered: Training) -> None:
    """The page learns of the controls that the adapter has."""

    def declared() -> set[str]:
        snapshot = steered.seen.snapshot(steered.seen.session().session_id)
        return {spec.name for spec in snapshot.registration.controls}

    eventually(declared, "the controls", until=lambda names: names >= steered.driver.CONTROLS)


def test_pictures_are_real(steered: Training) -> None:
    """What a viewer sees is samples with prediction and truth, aligned."""
    if not steered.driver.SAMPLES:
        return  # this adapter shows no samples
    stream = steered.seen.watch(steered.seen.session().session_id)
    try:
        batch = next(event.batch_data for event in stream if event.HasField("batch_data"))
    finally:
        stream.cancel()
    assert 1 <= len(batch.images) <= 16
    assert len(batch.predictions) == len(batch.ground_truth) == len(batch.images)
    assert {each.predicted_class for each in batch.predictions} <= {0, 1, 2}
    assert {each.true_class for each in batch.ground_truth} <= {0, 1, 2}


@pytest.mark.parametrize("change", [{"learning_rate": 0.125}, {"factor": 0.5}], ids=str)
def test_a_learning_rate_holds_from_its_step(steered: Training, change: dict[str, float]) -> None:
    """It is changed once, between two batches; old, new and effective value are the real ones."""
    if "learning_rate" not in steered.driver.CONTROLS:
        return  # this adapter changes no learning rate
    before = steered.log("batch")[-1]["rate"]
    record = _applied(steered, adjust_learning_rate=AdjustLearningRate(**change))
    wanted = change.get("learning_rate", before * change.get("factor", 1))
    step = record.result.applied_at_step
    rates = [batch["rate"] for batch in steered.batches(step + 5)]
    assert rates[step - 1] == pytest.approx(before, rel=1e-6)
    assert rates[step:] == pytest.approx([wanted] * len(rates[step:]), rel=1e-6)
    assert record.result.previous_value == pytest.approx(before, rel=1e-6)
    assert record.result.applied_value == pytest.approx(wanted, rel=1e-6)
    read_back = eventually(
        lambda: steered.seen.command(record.session_id, record.command.command_id, "APPLIED"),
        "the effective value",
        until=lambda known: known.result.HasField("effective_value"),
    )
    assert read_back.result.effective_value == pytest.approx(wanted, rel=1e-6)


def test_a_pause_holds_the_next_batch(steered: Training) -> None:
    """Between pause and resume no batch is trained, and other commands are still carried out."""
    step = _applied(steered, pause=Pause()).result.applied_at_step
    steered.seen.in_state("PAUSED")
    if "learning_rate" in steered.driver.CONTROLS:
        assert _applied(steered, adjust_learning_rate=AdjustLearningRate(factor=0.5))
    assert len(steered.log("batch")) in (step - 1, step)
    _applied(steered, resume=Resume())
    steered.batches(step + 3)
    steered.seen.in_state("RUNNING")


def test_a_pause_that_comes_twice_is_one(steered: Training) -> None:
    """The same command id again is the same command."""
    session_id = steered.seen.session().session_id
    record = _applied(steered, pause=Pause())
    again = steered.seen.send_again(record)
    assert again.command.command_id == record.command.command_id
    _applied(steered, resume=Resume())
    ids = [each.command.command_id for each in steered.seen.snapshot(session_id).commands]
    assert ids.count(record.command.command_id) == 1


@pytest.mark.parametrize(
    ("name", "action"), [("save_checkpoint", SaveCheckpoint()), ("evaluate", Evaluate())]
)
def test_what_is_declared_is_done_and_the_rest_refused(
    steered: Training, name: str, action: object
) -> None:
    """A checkpoint is written, the evaluation set gone through; what cannot be says why."""
    if name not in steered.driver.CONTROLS:
        assert _refusal(steered, **{name: action})
        return
    done = {"save_checkpoint": _checkpoints, "evaluate": _evaluations}[name]
    before = done(steered)
    _applied(steered, **{name: action})
    eventually(lambda: done(steered), name, PATIENCE_S, lambda count: count > before)


def _checkpoints(training: Training) -> int:
    # The log and the diary are there from the first, and are no checkpoints.
    files = (path for path in Path(training.plan.folder).rglob("*") if path.is_file())
    own = {"log", "diary"}
    return sum(path.name not in own and "home" not in path.parts for path in files)


def _evaluations(training: Training) -> int:
    return len(training.log("evaluated"))


@pytest.mark.parametrize("name", ["counter", "pair"])
def test_a_knob_of_ones_own_is_turned_once(steered: Training, name: str) -> None:
    """Said by ``add_control`` or ``controls=``; a command that comes twice adds up once."""
    before = sum(line["value"] for line in steered.log("turned") if line["knob"] == name)
    record = _applied(steered, set_control=SetControl(name=name, value=2))
    steered.seen.send_again(record)
    assert record.result.previous_value == before
    assert record.result.applied_value == before + 2
    # Each command is carried out in order: what comes after this one comes after the first's echo.
    last = _applied(steered, set_control=SetControl(name=name, value=3))
    assert last.result.previous_value == before + 2
    turned = [line for line in steered.log("turned") if line["knob"] == name][-2:]
    assert [line["value"] for line in turned] == [2, 3]
    step = record.result.applied_at_step
    assert turned[0]["batches"] in (step - 1, step)


def test_a_knob_of_the_frameworks_is_turned(steered: Training) -> None:
    """The framework itself has the new value from the step on that the answer names."""
    knob = getattr(steered.driver, "KNOB", "")
    if not knob:
        return  # this adapter offers none
    # Greater than any gradient here, so that the training stays what it was.
    record = _applied(steered, set_control=SetControl(name=knob, value=1e6))
    step = record.result.applied_at_step
    held = [batch["knob"] for batch in steered.batches(step + 5)]
    assert held[step + 1 :] == [1e6] * len(held[step + 1 :])
    assert held[step - 2] != 1e6
    assert record.result.applied_value == 1e6


def test_an_unknown_control_is_refused(steered: Training) -> None:
    """A knob that nobody declared is refused, with a reason, and training goes on."""
    unknown = SetControl(name="no such knob", value=1)
    assert "no such knob" in _refusal(steered, set_control=unknown)
    steered.batches(len(steered.log("batch")) + 1)


def test_a_stop_ends_the_run_as_its_framework_does(steered: Training) -> None:
    """The script goes on behind its fit and ends well; the run shows as stopped, by whom."""
    _applied(steered, stop=Stop())
    assert steered.child.wait(PATIENCE_S) == 0
    assert steered.seen.in_state("STOPPED")
    assert [line["event"] for line in steered.log()][-2:] == ["fit_ended", "returned"]
    rates = [batch["rate"] for batch in steered.log("batch")]
    changes = sum(old != new for old, new in itertools.pairwise(rates))
    if "learning_rate" in steered.driver.CONTROLS:
        assert changes <= 3  # one for each command, at most: none was applied twice


# --- failing, and knowing nothing -----------------------------------------------------------------


def test_a_failing_run_says_why(driver: ModuleType, folder: Path) -> None:
    """A training that raises fails as it would alone, and shows the error's type and text."""
    with started(driver, folder / "failing", fail_at=3) as training:
        assert training.child.wait(PATIENCE_S) not in (0, None)
        message = training.seen.in_state("FAILED").status_message
    assert message.startswith("ValueError")
    assert "bad batch" in message


def test_a_script_that_knows_nothing_is_shown(driver: ModuleType, folder: Path) -> None:
    """With nothing but TRAINMON_MONITOR set, the run is there, whole, and once."""
    if NOTHING not in driver.WAYS:
        return  # this adapter has no such way in
    with started(driver, folder / "nothing", way=NOTHING, epochs=1) as training:
        assert training.child.wait(PATIENCE_S) == 0
        summary = training.seen.in_state("COMPLETED")
        assert summary.framework == driver.FRAMEWORK
        loss = training.seen.metrics(summary.session_id, "loss")["loss"]
        assert list(loss.steps) == list(range(5))


def _names(diary: list[list[str]]) -> list[str]:
    return [line[1] for line in diary]
