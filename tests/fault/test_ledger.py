"""What the kill tests compare with notices every way in which a number can go wrong."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from kills.ledger import LogLine, Tally, compare
from kills.tiny import reference
from trainmon.v1.telemetry_pb2 import MetricSeries

STEPS = 200
UNDISTURBED, _ = reference(5, STEPS + 1)
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


def test_only_the_newest_are_at_risk() -> None:
    """Both killed, the newest steps may be missing, with how old they were; no others may."""
    tally = compare(LOG, UNDISTURBED, stored(STEPS - 3), float(STEPS), ended=False)
    assert (tally.faults, tally.at_risk, tally.oldest_at_risk_ms) == (0, 3, 3000.0)
    series = stored(STEPS - 3)
    for each in series:
        if each.name == "loss":
            _lose(each)
    assert compare(LOG, UNDISTURBED, series, float(STEPS), ended=False).lost == 1
    assert compare(LOG, UNDISTURBED, stored(STEPS - 3), None, ended=False).lost == 3


def test_step_before_its_line_is_no_fault() -> None:
    """A training killed between telling a step and writing it down has told it all the same."""
    series = stored(STEPS + 1)
    assert compare(LOG, UNDISTURBED, series, None, ended=False).faults == 0
    assert compare(LOG, UNDISTURBED, series, None, ended=True).differing > 0


def test_other_losses_of_the_training_are_found() -> None:
    """A training whose losses are not those of an undisturbed one is a fault."""
    log = [*LOG[:9], LogLine(9, 9.0, {**LOG[9].scalars, "loss": 1.0}), *LOG[10:]]
    assert compare(log, UNDISTURBED, stored(), None, ended=True).differing == 1
