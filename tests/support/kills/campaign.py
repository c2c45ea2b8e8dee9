"""Many rounds of one kind on one stand, and what was found after them."""

from __future__ import annotations

from pathlib import Path

from kills.faults import Kind
from kills.ledger import Tally
from kills.stand import Stand
from stack import eventually

__all__ = ["campaign"]


def campaign(kind: Kind, rounds: int, seed: int, folder: Path) -> Tally:
    """Do ``rounds`` rounds, wait until all is delivered, and compare.

    Raises:
        AssertionError: Something never came to its end; the message has the logs.
    """
    folder.mkdir()
    stand = Stand(folder, seed, rate=kind.rate, gateway=kind.gateway, small_disk=kind.small_disk)
    with stand:
        try:
            done = _rounds(stand, kind, rounds)
            stand.settle()
            tally = stand.judge()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}\n{stand.logs()}") from error
        tally.rounds = done
        if tally.faults:
            tally.remarks.append(stand.logs())
        return tally


def _rounds(stand: Stand, kind: Kind, rounds: int) -> int:
    for _ in range(rounds):
        stand.keep_running(kind.runs)
        eventually(lambda: all(run.steps for run in stand.living), "steps of every run", 60)
        kind.round(stand)
    return rounds
