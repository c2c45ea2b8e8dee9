"""A learning rate stays changed under every schedule of transformers, on a real Trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("transformers", reason="no hf_trainer found: transformers is not installed")

pytestmark = pytest.mark.timeout(650)

STEPS, FACTOR, CHANGES = 16, 0.3, (1, 3, 8, 15)
NAMES = (
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup",
    "inverse_sqrt", "reduce_lr_on_plateau", "cosine_with_min_lr", "cosine_warmup_with_min_lr",
    "warmup_stable_decay", "greedy",
)  # fmt: skip
#: Of a later release than the oldest that is supported.
NEWER = frozenset({"greedy", "cosine_warmup_with_min_lr"})


@pytest.fixture(scope="module")
def facts(run_trainings: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The rates of every update, by the schedule's name."""
    return run_trainings("schedules.py")


@pytest.fixture
def schedule(facts: dict[str, Any], name: str) -> dict[str, Any]:
    """The rates of one schedule."""
    if name in NEWER and name not in facts:
        pytest.skip(f"this version of transformers has no schedule {name}")
    found: dict[str, Any] = facts[name]
    assert "error" not in found, found.get("error")
    return found


def test_no_schedule_is_left_out(facts: dict[str, Any]) -> None:
    """What this version of transformers has is what is tried here."""
    assert set(facts) - NEWER == set(NAMES) - NEWER


@pytest.mark.parametrize("name", NAMES)
def test_the_schedule_is_scaled_from_each_change_on(schedule: dict[str, Any]) -> None:
    """At every update after a change the rate in force is the schedule's, scaled by hand."""
    plain, wanted = schedule["plain"], []
    assert len(plain) == STEPS
    for step, rate in enumerate(plain):
        wanted.append(rate * FACTOR ** sum(change_at <= step for change_at in CHANGES))
    assert schedule["changed"] == pytest.approx(wanted, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_the_rate_told_is_the_rate_in_force(schedule: dict[str, Any]) -> None:
    """What the page shows of an update is what it was made with, and nothing of ours failed."""
    assert schedule["told"] == pytest.approx(schedule["plain"], rel=1e-12)
    assert not [note for note in schedule["notes"] if note.startswith("FAILED")]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "constant"])
def test_the_schedules_are_no_lines(schedule: dict[str, Any]) -> None:
    """Each but the constant one moves within these updates, so that there is something to hold."""
    assert len({round(rate, 12) for rate in schedule["plain"]}) > 1
