"""What the kill tests compare with notices every way in which a number can go wrong."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable

import pytest

from kills.ledger import LogLine, Tally, compare, compare_epochs
from kills.tiny import EPOCH_STEPS, reference
from trainmon.v1.telemetry_pb2 import EpochData, MetricSeries

STEPS = 200
UNDISTURBED, _ = reference(5, STEPS)
LOG = [LogLine(step, float(step), UNDISTURBED[step]) for step in range(STEPS)]


def stored(steps: int = STEPS) -> list[MetricSeries]:
    """Return what a store has that lost nothing."""
    names = {name for scalars in UNDISTURBED for name in scalars}
    series = []
    for name in sorted(names):
        has = [step for step in range(steps) if name in UNDISTURBED[step]]
        values = [UNDISTURBED[step][name] for step in has]
        series.append(MetricSeries(name=name, steps=has, values=values))
    return series


def judged(change: Callable[[MetricSeries], object], name: str = "loss") -> Tally:
    """Compare with a store in which one series was changed."""
    series = stored()
    change(next(each for each in series if each.name == name))
    return compare(LOG, UNDISTURBED, series, None, ended=True)


def _double(series: MetricSeries) -> None:
    series.steps.append(series.steps[7])
    series.values.append(series.values[7])


def _lose(series: MetricSeries, at: int = 7) -> None:
    del series.steps[at], series.values[at]


def _change(series: MetricSeries) -> None:
    series.values[7] = math.nextafter(series.values[7], 9.0)


def test_whole_store_has_no_fault() -> None:
    """Where everything is as it was told, nothing is found."""
    tally = compare(LOG, UNDISTURBED, stored(), None, ended=True)
    assert tally.faults == 0
    assert tally.steps == STEPS
    assert tally.rows == 2 * STEPS + 3


@pytest.mark.parametrize("name", ["loss", "accuracy"])
def test_faults_are_found(name: str) -> None:
    """One row lost, doubled or changed in its last bit is one fault of that kind."""
    assert judged(_lose, name).lost == 1
    assert judged(_double, name).doubled == 1
    assert judged(_change, name).differing == 1


@pytest.mark.parametrize("name", ["loss", "accuracy", "odd"])
@pytest.mark.parametrize("both_killed_s", [None, float(STEPS)])
def test_lost_series_is_found(name: str, both_killed_s: float | None) -> None:
    """A series of which nothing is stored is lost, also where the newest steps may be missing."""
    series = [each for each in stored() if each.name != name]
    told = sum(name in scalars for scalars in UNDISTURBED[:STEPS])
    tally = compare(LOG, UNDISTURBED, series, both_killed_s, ended=False)
    if name == "loss" and both_killed_s is not None:
        assert tally.at_risk == STEPS  # no step is there as it was told
    else:
        assert tally.lost == told


@pytest.mark.parametrize("name", ["loss", "accuracy"])
@pytest.mark.parametrize("ended", [True, False])
def test_lost_end_of_a_series_is_found(name: str, *, ended: bool) -> None:
    """The last fifty rows of one series are lost where those of another are there, and else too."""
    series = stored()
    cut = next(each for each in series if each.name == name)
    del cut.steps[-50:], cut.values[-50:]
    assert compare(LOG, UNDISTURBED, series, None, ended=ended).lost == 50
    if name != "loss":
        assert compare(LOG, UNDISTURBED, series, float(STEPS), ended=False).lost == 50


def epochs(*numbers: int) -> list[EpochData]:
    """Return epochs as they were told."""
    found = []
    for number in numbers:
        losses = [each["loss"] for each in UNDISTURBED[number * EPOCH_STEPS :][:EPOCH_STEPS]]
        mean = functools.reduce(operator.add, losses, 0.0) / EPOCH_STEPS
        epoch = EpochData(epoch=number, average_loss=mean, validation_loss=losses[-1])
        found.append(epoch)
    return found


def judged_epochs(found: list[EpochData], newest: int | None = None, *, ended: bool) -> Tally:
    """Compare epochs with those of the log."""
    return compare_epochs(STEPS, UNDISTURBED, found, newest, ended)


def test_epochs_are_found_lost_doubled_and_changed() -> None:
    """Each epoch is to be stored once, and as it was told."""
    assert judged_epochs(epochs(0, 1), ended=True).faults == 0
    assert judged_epochs(epochs(0), ended=True).lost == 1
    assert judged_epochs(epochs(1), ended=False).lost == 1
    assert judged_epochs(epochs(0, 0, 1), ended=True).doubled == 1
    changed = epochs(0, 1)
    changed[1].average_loss = math.nextafter(changed[1].average_loss, 9.0)
    assert judged_epochs(changed, ended=True).differing == 1
    # Killed right behind its last step, the training may have told it or not.
    assert judged_epochs(epochs(0), ended=False).faults == 0
    # Nothing after step 99 is stored: so its epoch need not be.
    assert judged_epochs([], 99, ended=False).faults == 0
    assert judged_epochs([], 100, ended=False).lost == 1


def test_tally_passes_through_text() -> None:
    """What another process found is added up as it was."""
    tally = Tally(rounds=3, at_risk_ms=[4, 90], remarks=["something"])
    assert Tally.from_json(tally.to_json()) == tally


def test_only_the_newest_are_at_risk() -> None:
    """Both killed, the newest steps may be missing, with how old they were; no others may."""
    tally = compare(LOG, UNDISTURBED, stored(STEPS - 3), float(STEPS), ended=False)
    assert (tally.faults, tally.at_risk, tally.oldest_at_risk_ms) == (0, 3, 3000.0)
    series = stored(STEPS - 3)
    for each in series:
        if each.name == "loss":
            _lose(each)
    assert compare(LOG, UNDISTURBED, series, float(STEPS), ended=False).lost == 1
    assert compare(LOG, UNDISTURBED, stored(STEPS - 3), None, ended=False).lost == 6


def test_step_before_its_line_is_no_fault() -> None:
    """A training killed between telling a step and writing it down has told it all the same."""
    series = stored(STEPS + 1)
    assert compare(LOG, UNDISTURBED, series, None, ended=False).faults == 0
    assert compare(LOG, UNDISTURBED, series, None, ended=True).differing > 0


def test_other_losses_of_the_training_are_found() -> None:
    """A training whose losses are not those of an undisturbed one is a fault."""
    log = [*LOG[:9], LogLine(9, 9.0, {**LOG[9].scalars, "loss": 1.0}), *LOG[10:]]
    assert compare(log, UNDISTURBED, stored(), None, ended=True).differing == 1
