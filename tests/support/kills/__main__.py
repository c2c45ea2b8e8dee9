"""``python -m kills``: rounds of every kind, and a report of what was lost."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import click

from kills.campaign import campaign
from kills.faults import KINDS
from kills.ledger import Tally
from kills.report import write_report

#: Rounds on one stand; then another is set up, and what is stored is compared.
_STRETCH = 50


def main() -> int:
    """Do what the command line says; returns 1 where anything was lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m kills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="of each kind")
    parser.add_argument("--kinds", default=",".join(KINDS), help="NAME or NAME:ROUNDS, by commas")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--report", type=Path, help="where to write what was found, as Markdown")
    options = parser.parse_args()
    # Whoever ends this wants no process of it left either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    click.echo(f"seed {options.seed}")
    found: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory(prefix="trainmon-kills-") as folder:
        for each in options.kinds.split(","):
            name, _, own = each.partition(":")
            rounds = int(own or options.rounds)
            found[name] = _all_rounds(name, rounds, options.seed, Path(folder))
            if options.report:
                write_report(options.report, found)
    return int(any(tally.faults for tally in found.values()))


def _all_rounds(name: str, rounds: int, seed: int, folder: Path) -> Tally:
    total = Tally()
    seeds = random.Random(f"{seed} {name}")
    while total.rounds < rounds:
        own = seeds.randrange(2**32)
        began_s = time.monotonic()
        count = min(_STRETCH, rounds - total.rounds)
        try:
            tally = campaign(KINDS[name], count, own, folder / f"{name}-{own}")
        except AssertionError as error:
            tally = Tally(rounds=count, stuck=1, remarks=[str(error)])
        total.add(tally)
        took_s = time.monotonic() - began_s
        click.echo(f"{name}: seed {own}, {took_s:.0f} s, {_told(tally)}")
        for remark in tally.remarks:
            click.echo(f"  {remark}")
    return total


def _told(tally: Tally) -> str:
    return (
        f"{tally.rounds} rounds, {tally.runs} runs, {tally.steps} steps, {tally.rows} rows, "
        f"{tally.lost} lost, {tally.doubled} doubled, {tally.differing} differing, "
        f"{tally.at_risk} at risk (oldest {tally.oldest_at_risk_ms:.0f} ms), {tally.commands} "
        f"commands, {tally.endless} endless, {tally.contradicted} contradicted, "
        f"{tally.watched} watched, {tally.resumed} resumed, {tally.misseen} misseen, "
        f"{tally.stuck} stuck"
    )


if __name__ == "__main__":
    sys.exit(main())
