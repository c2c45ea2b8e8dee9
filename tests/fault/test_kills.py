"""Nothing lost, nothing doubled: everything is killed, cut off and filled up at random moments.

Each round is one fault. After the rounds of a kind every scalar of every step that a training
handed over is in the store once, equal to the last bit to the log which the training wrote itself
and to an undisturbed training of the same seed; every command that the monitor took has one end.
What of this is lost is in docs/losses.md, which ``make torture`` writes.

``TRAINMON_TEST_SEED`` repeats a failure, ``TRAINMON_TEST_CAMPAIGN`` one campaign by the seed that
its failure tells; ``TRAINMON_TEST_ROUNDS`` sets the rounds of each kind.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kills.campaign import campaign, campaign_seeds
from kills.faults import KINDS
from kills.ledger import AT_RISK_MS
from kills.settings import CAMPAIGN, ROUNDS, SEED

#: What a machine with other work to do may add to the 100 ms within which all is on disk, in ms.
_LATE_MS = 2000


@pytest.mark.slow
@pytest.mark.kills
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_lost_or_doubled(name: str, tmp_path: Path) -> None:
    """After all rounds of a kind everything that was told is stored once, as it was told."""
    seed = CAMPAIGN or next(campaign_seeds(SEED, name))
    tally = campaign(KINDS[name], ROUNDS, seed, tmp_path / "stand")
    told = "\n".join([f"TRAINMON_TEST_SEED={SEED} TRAINMON_TEST_CAMPAIGN={seed}", *tally.remarks])
    assert tally.rounds == ROUNDS
    assert tally.steps > ROUNDS
    assert not tally.faults, told
    assert tally.oldest_at_risk_ms < AT_RISK_MS + _LATE_MS, told
