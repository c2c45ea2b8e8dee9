"""Nothing lost, nothing doubled: everything is killed, cut off and filled up at random moments.

Each round is one fault. After the rounds of a kind every scalar of every step that a training
handed over is in the store once, equal to the last bit to the log which the training wrote itself
and to an undisturbed training of the same seed; every command that the monitor took has one end.
What of this is lost is in docs/losses.md, which ``make torture`` writes.

``TRAINMON_TEST_SEED`` repeats a failure, ``TRAINMON_TEST_ROUNDS`` sets the rounds of each kind.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from kills.campaign import campaign
from kills.faults import KINDS
from kills.settings import ROUNDS, SEED

#: What a machine with other work to do may add to the 100 ms within which all is on disk, in ms.
_LATE_MS = 2000


@pytest.mark.slow
@pytest.mark.kills
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_lost_or_doubled(name: str, tmp_path: Path) -> None:
    """After all rounds of a kind everything that was told is stored once, as it was told."""
    rounds = ROUNDS or KINDS[name].usual
    seed = random.Random(f"{SEED} {name}").randrange(2**32)
    tally = campaign(KINDS[name], rounds, seed, tmp_path / "stand")
    told = "\n".join(tally.remarks)
    assert tally.rounds == rounds
    assert tally.steps > rounds
    assert not tally.faults, f"TRAINMON_TEST_SEED={SEED}\n{told}"
    assert tally.oldest_at_risk_ms < 100 + _LATE_MS, f"TRAINMON_TEST_SEED={SEED}\n{told}"
