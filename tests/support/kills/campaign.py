"""Many rounds of one kind on one stand, and what was found after them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from kills.faults import Kind
from kills.ledger import Tally
from kills.stand import Stand
from stack import eventually

__all__ = ["campaign", "campaign_seeds"]


def campaign_seeds(seed: int, kind: str) -> Iterator[int]:
    """Yield the seeds of the campaigns of a kind, by that of the whole."""
    seeds = random.Random(f"{seed} {kind}")
    while True:
        yield seeds.randrange(2**32)


def campaign(kind: Kind, rounds: int, seed: int, folder: Path) -> Tally:
    """Do ``rounds`` rounds, wait until all is delivered, and compare.

    Raises:
        AssertionError: Something never came to its end; the message has the logs.
    """
    folder.mkdir()
    stand = Stand(
        folder,
        seed,
        rate=kind.rate,
        gateway=kind.gateway,
        small_disk=kind.small_disk,
        viewer_queue_bytes=kind.viewer_queue_bytes,
    )
    with stand:
        try:
            for _ in range(rounds):
                stand.keep_running(kind.runs)
                eventually(lambda: stand.stepping, "steps of a run", 60)
                kind.round(stand)
                stand.rounds += 1
            stand.settle()
            tally = stand.judge()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}\n{stand.logs()}") from error
        if tally.faults:
            tally.remarks.append(stand.logs())
        return tally
