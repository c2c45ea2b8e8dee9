"""Small judges: convergence, clock offset, liveness, budget."""

from __future__ import annotations

import math
import time

import pytest

from trainmon.channel import StepRecord, TrainerChannel, Word
from trainmon.relay.budget import Budget
from trainmon.relay.clock import ClockOffset
from trainmon.relay.epochs import Epochs, convergence
from trainmon.relay.liveness import Liveness
from trainmon.v1.telemetry_pb2 import (
    ConvergenceStatus,
    EpochData,
    HeartbeatReply,
    TrainerLiveness,
)


@pytest.fixture
def block():
    """Give a control block of its own."""
    channel = TrainerChannel.create(4096)
    yield channel.block
    channel.memory.close()


# --- convergence ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([], "UNSPECIFIED"),
        ([1.0], "IMPROVING"),
        ([1.0, 0.9, 0.8], "IMPROVING"),
        ([1.0, 2.01], "DIVERGING"),
        ([1.0, 1.99], "IMPROVING"),
        ([1.0, math.nan], "DIVERGING"),
        ([1.0, math.inf], "DIVERGING"),
        ([math.nan, 1.0], "IMPROVING"),
        ([1.0, 0.999, 0.998, 0.997], "PLATEAU"),
        ([1.0, 0.98, 0.98, 0.98], "IMPROVING"),
        ([1.0, *[0.9995] * 5], "CONVERGED"),
        ([1.0, *[0.998] * 5], "PLATEAU"),
        ([1.0, 0.5, *[0.5] * 5], "CONVERGED"),
        ([-1.0, -2.0, -3.0], "IMPROVING"),
        ([-3.0, 0.5], "DIVERGING"),
    ],
)
def test_convergence_follows_the_documented_rule(losses, expected):
    """The rule stands in telemetry.proto."""
    assert convergence(losses) == ConvergenceStatus.Value(f"CONVERGENCE_STATUS_{expected}")


def test_the_validation_loss_decides_where_there_is_one():
    """A training loss that falls does not hide a validation loss that has doubled."""
    epochs = Epochs()
    first = EpochData(average_loss=1.0, validation_loss=1.0)
    second = EpochData(average_loss=0.5, validation_loss=2.5)
    epochs.judge(first)
    epochs.judge(second)
    assert second.convergence_status == ConvergenceStatus.CONVERGENCE_STATUS_DIVERGING


def test_the_mean_loss_is_that_of_the_epochs_own_batches():
    """Batches without a loss do not count; another epoch's mean is not known."""
    epochs = Epochs()
    for step, (epoch, loss) in enumerate([(0, 9.0), (1, 1.0), (1, None), (1, 3.0)]):
        epochs.step(StepRecord(step, epoch, step, 0.0, loss))
    assert epochs.mean_loss(1) == 2
    assert epochs.mean_loss(0) is None


# --- clock ----------------------------------------------------------------------------------------


def reply(number: int, received_ms: float, held_ms: float = 0.0) -> HeartbeatReply:
    """Return the answer of a monitor that got the heartbeat at this time of its own clock."""
    return HeartbeatReply(
        sequence_number=number, received_ms=received_ms, sent_ms=received_ms + held_ms
    )


def test_the_offset_is_that_of_the_shortest_round_trip():
    """A reply held up on the way tells less; the time in the monitor is no part of the trip."""
    clock = ClockOffset()
    assert clock.offset_ms is None
    assert clock.round_trip_ms is None
    for number, (there, back) in enumerate([(50.0, 1.0), (2.0, 2.0), (1.0, 90.0)]):
        clock.sent(number, 1000.0)
        clock.replied(reply(number, 1000.0 + there + 500, held_ms=7), 1000 + there + 7 + back)
    assert clock.round_trip_ms == pytest.approx(4)
    assert clock.offset_ms == pytest.approx(500)


def test_old_samples_and_unknown_replies_are_forgotten():
    """Sixty later heartbeats replace the best; an answer to none says nothing."""
    clock = ClockOffset()
    clock.replied(reply(9, 0.0), 0.0)
    assert clock.offset_ms is None
    for number in range(61):
        clock.sent(number, 0.0)
        trip = 1.0 if number == 0 else 10.0
        clock.replied(reply(number, trip / 2), trip)
    assert clock.round_trip_ms == pytest.approx(10)


# --- liveness -------------------------------------------------------------------------------------

STEPPING = TrainerLiveness.TRAINER_LIVENESS_STEPPING
SILENT = TrainerLiveness.TRAINER_LIVENESS_SILENT


def test_a_running_training_without_a_step_is_silent(block):
    """After the least time, or ten of its usual steps where they take longer."""
    liveness = Liveness(block, stall_after_s=30)
    liveness.status("RUNNING")
    block.words[Word.LAST_STEP_NS] = last = time.monotonic_ns()
    assert liveness.judge(last + int(29e9), 1.0) == STEPPING
    assert liveness.judge(last + int(31e9), 1.0) == SILENT
    assert liveness.judge(last + int(31e9), 10.0) == STEPPING
    assert liveness.judge(last + int(101e9), 10.0) == SILENT
    assert liveness.step_age_ms(last + int(5e9)) == 5000


@pytest.mark.parametrize("status", ["STARTING", "PAUSED", "EVALUATING", "STOPPING"])
def test_only_where_it_runs_must_steps_end(block, status):
    """Setting up, pausing and evaluating make no steps and are no stall."""
    liveness = Liveness(block, stall_after_s=1)
    liveness.status("RUNNING")
    liveness.status(status)
    assert liveness.judge(time.monotonic_ns() + int(1e12), None) == STEPPING
    assert liveness.step_age_ms(time.monotonic_ns()) is None


def test_the_end_of_a_pause_is_a_new_beginning(block):
    """The last step before a long pause is old; the training is not silent for that."""
    liveness = Liveness(block, stall_after_s=30)
    block.words[Word.LAST_STEP_NS] = 1
    liveness.status("PAUSED")
    liveness.status("RUNNING")
    now = time.monotonic_ns()
    assert liveness.judge(now + int(29e9), None) == STEPPING
    assert liveness.judge(now + int(31e9), None) == SILENT


def test_a_training_that_waits_at_a_control_point_is_not_silent(block):
    """Even where the state PAUSED was refused for want of room."""
    liveness = Liveness(block, stall_after_s=1)
    liveness.status("RUNNING")
    block.words[Word.PAUSED] = 1
    assert liveness.judge(time.monotonic_ns() + int(1e12), None) == STEPPING


def test_a_training_that_died_stays_dead(block):
    """Whatever it said last."""
    liveness = Liveness(block, stall_after_s=1)
    liveness.status("RUNNING")
    liveness.died = True
    assert liveness.judge(time.monotonic_ns(), None) == TrainerLiveness.TRAINER_LIVENESS_DIED


# --- budget ---------------------------------------------------------------------------------------


class Cores:
    """A budget whose CPU time a test decides, second by second."""

    def __init__(self, cores: float) -> None:
        self._cpu_s = self._now_s = 0.0
        self.budget = Budget(cores, lambda: self._cpu_s)
        self.budget.tick(0.0, 60, 256)

    def second(self, used: float, rate: float = 60, tile: int = 256) -> tuple[float, int]:
        """Let a second pass; return what is asked for after it."""
        self._cpu_s += used
        self._now_s += 1.0
        self.budget.tick(self._now_s, rate, tile)
        return self.budget.rate(rate), self.budget.tile(tile)


def test_within_the_budget_all_is_asked_for():
    """Nothing is limited that need not be."""
    cores = Cores(0.5)
    for _ in range(5):
        assert cores.second(0.4) == (60, 256)
    assert not cores.budget.limiting


def test_beyond_the_budget_the_rate_falls_in_proportion_and_recovers_slowly():
    """Half the budget, half the pictures; then a tenth more a second."""
    cores = Cores(0.5)
    assert cores.second(1.0) == (30, 256)
    assert cores.budget.used_cores == pytest.approx(1.0)
    assert cores.second(0.45) == (30, 256)
    assert cores.second(0.2)[0] == pytest.approx(33)
    for _ in range(10):
        last = cores.second(0.2)
    assert last == (60, 256)


def test_where_the_rate_is_as_low_as_is_of_use_the_tiles_are_halved():
    """Down to 5 pictures a second, then down to 32 pixels, and no further; then up again."""
    cores = Cores(0.1)
    seen = [cores.second(1.0) for _ in range(8)]
    assert min(rate for rate, _ in seen) == pytest.approx(5)
    assert seen[-1] == (pytest.approx(5), 32)
    for _ in range(60):
        last = cores.second(0.0)
    assert last == (60, 256)


def test_without_viewers_nothing_is_judged():
    """CPU that is spent on other things cannot be saved on pictures."""
    cores = Cores(0.1)
    cores.second(1.0, rate=0)
    assert not cores.budget.limiting
