"""The frame-rate tracker."""

from __future__ import annotations

import pytest

from trainmon.channel import StepRecord
from trainmon.relay.pace import Pace


def steps(pace: Pace, times: list[float], first: int = 0, epoch: int = 0) -> None:
    """Let batches end at these times."""
    for index, time_ms in enumerate(times, first):
        pace.step(StepRecord(global_step=index, epoch=epoch, batch_index=index, time_ms=time_ms))


def test_the_current_rate_is_the_batches_of_the_last_second():
    """At 20 ms a batch, 50 end in a second, however long the run already is."""
    pace = Pace()
    steps(pace, [20.0 * index for index in range(500)])
    assert pace.current_fps(499 * 20.0) == 50
    assert pace.batch_time_ms() == pytest.approx(20)


def test_a_run_younger_than_a_second_has_its_rate_already():
    """The part of the second that the run did not live is not counted as idle."""
    pace = Pace()
    steps(pace, [10.0 * index for index in range(11)])
    assert pace.current_fps(100.0) == pytest.approx(110)


def test_batches_longer_than_a_second_have_a_rate_below_one():
    """A batch of 4 s is a quarter of a batch per second, and less while the next is overdue."""
    pace = Pace()
    steps(pace, [0.0, 4000.0, 8000.0])
    assert pace.current_fps(8100.0) == pytest.approx(0.25)
    assert pace.current_fps(18_000.0) == pytest.approx(0.1)
    assert pace.batch_time_ms() == pytest.approx(4000)


def test_before_the_second_batch_there_is_no_rate():
    """One batch is no interval; none is not even a beginning."""
    pace = Pace()
    assert (pace.current_fps(0.0), pace.average_fps(0.0), pace.batch_time_ms()) == (0, 0, 0)
    assert pace.median_step_s() is None
    steps(pace, [5.0])
    assert (pace.current_fps(5.0), pace.average_fps(5.0)) == (0, 0)


def test_pauses_count_neither_as_time_nor_as_batches():
    """While paused the current rate is 0; afterwards it and the average are as if nothing was."""
    pace = Pace()
    steps(pace, [10.0 * index for index in range(200)])
    pace.suspend(2000.0)
    assert pace.current_fps(5000.0) == 0
    assert pace.average_fps(60_000.0) == pytest.approx(199 * 1000 / 2000)
    pace.resume(60_000.0)
    steps(pace, [60_000.0 + 10 * index for index in range(100)], first=200)
    assert pace.current_fps(60_990.0) == 100
    assert pace.average_fps(60_990.0) == pytest.approx(100, rel=0.01)
    assert pace.median_step_s() == pytest.approx(0.01)


def test_a_step_ends_a_pause_whose_end_was_never_told():
    """A record may be refused; a batch that ended is proof enough."""
    pace = Pace()
    steps(pace, [0.0, 10.0])
    pace.suspend(10.0)
    steps(pace, [1010.0, 1020.0], first=2)
    assert pace.current_fps(1020.0) > 0


def test_the_rest_is_estimated_with_the_evaluations_to_come():
    """The epoch's rest is its batches; the run's rest adds epochs and their evaluations."""
    pace = Pace()
    pace.batches_per_epoch, pace.total_epochs = 10, 3
    steps(pace, [100.0 * index for index in range(10)])
    assert pace.epoch_remaining_ms() == 0
    pace.suspend(900.0)
    pace.resume(1400.0, evaluated=True)
    steps(pace, [1500.0, 1600.0], first=0, epoch=1)
    assert pace.epoch_remaining_ms() == pytest.approx(8 * 100)
    assert pace.run_remaining_ms() == pytest.approx(8 * 100 + 10 * 100 + 500)


def test_without_lengths_nothing_is_estimated():
    """An unknown number of batches or epochs leaves the rest unknown."""
    pace = Pace()
    steps(pace, [0.0, 100.0])
    assert pace.epoch_remaining_ms() is None
    pace.batches_per_epoch = 10
    assert pace.epoch_remaining_ms() == pytest.approx(800)
    assert pace.run_remaining_ms() is None


def test_a_clock_that_was_set_back_breaks_nothing():
    """Times that fall make no negative rate and no negative duration."""
    pace = Pace()
    steps(pace, [10_000.0, 10_010.0, 3000.0, 3010.0])
    assert pace.current_fps(3010.0) >= 0
    assert pace.average_fps(3010.0) >= 0
    assert pace.batch_time_ms() >= 0


def test_a_clock_that_is_set_back_spoils_no_rate():
    """An hour back in mid-run: rates go on as if nothing had happened, and nothing piles up."""
    pace, hour_ms = Pace(), 3.6e6
    steps(pace, [20.0 * index for index in range(100)])
    assert pace.current_fps(99 * 20.0 - hour_ms) == 50
    steps(pace, [20.0 * index - hour_ms for index in range(100, 500)], first=100)
    assert pace.current_fps(499 * 20.0 - hour_ms) == 50
    assert pace.average_fps(499 * 20.0 - hour_ms) == pytest.approx(50, rel=0.01)
    assert pace.batch_time_ms() == pytest.approx(20, rel=0.01)
