"""A learning rate stays changed under every scheduler of Torch, on Lightning's Trainer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning", reason="no lightning found: it is not installed")

from schedulers import CHANGES, MAKERS, STEPS

HERE = Path(__file__).parent
SUPPORT = HERE.parents[1] / "support"
FACTOR = 0.25

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The rates of every update, by the scheduler's name."""
    folder = tmp_path_factory.mktemp("schedules")
    environment = {
        **os.environ,
        "TRAINMON_MONITOR": "127.0.0.1:9",  # the discard port: nobody listens
        "TRAINMON_HOME": str(folder / "home"),
        "TRAINMON_EXIT_TIMEOUT": "0",
        "TRAINMON_RELAY_LINGER": "0",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(SUPPORT),
    }
    subprocess.run(
        [sys.executable, str(HERE / "schedules.py"), str(folder)],
        env=environment, timeout=350, check=True,
    )  # fmt: skip
    told: dict[str, Any] = json.loads((folder / "facts.json").read_text())
    return told


@pytest.mark.parametrize("name", MAKERS)
def test_the_schedule_is_scaled_from_each_change_on(facts: dict[str, Any], name: str) -> None:
    """At every update after a change each group's rate is the schedule's, scaled by hand."""
    plain, changed = facts[name]["plain"], facts[name]["changed"]
    assert len(plain) == len(changed) == STEPS
    for step, (before, after) in enumerate(zip(plain, changed, strict=True)):
        factor = FACTOR ** sum(change_at <= step for change_at in CHANGES)
        assert after == pytest.approx([rate * factor for rate in before], rel=1e-9), step


@pytest.mark.parametrize("name", MAKERS)
def test_the_rate_told_is_the_rate_in_force(facts: dict[str, Any], name: str) -> None:
    """What the page shows of an update is what it was made with, and nothing of ours failed."""
    assert facts[name]["told"] == pytest.approx([rate for rate, _ in facts[name]["plain"]])
    assert not [note for note in facts[name]["notes"] if note.startswith("FAILED")]
    assert len({rate for rate, _ in facts[name]["plain"]}) > 1
