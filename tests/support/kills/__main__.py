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

from kills.campaign import campaign, campaign_seeds
from kills.faults import KINDS
from kills.ledger import Tally
from kills.record import Record
from kills.report import write_report
from kills.stretches import Stretch, run_all

#: Rounds on one stand; then another is set up, and what is stored is compared.
_STRETCH = 50


def main() -> int:
    """Do what the command line says; returns 1 where anything was lost or doubled."""
    options = _options()
    # Whoever ends this wants no process of it left either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if options.campaign is not None:
        return _one(options)
    click.echo(f"seed {options.seed}")
    record = Record(options.record)
    total = Tally()
    for tally in record.found.values():
        total.add(tally)
    if total.rounds:
        click.echo(f"goes on behind {total.rounds} rounds that {options.record} has of this code")
    for stretch, tally in run_all(_stretches(options, record), options.jobs):
        record.add(stretch.kind, stretch.seed, tally)
        total.add(tally)
        click.echo(f"{stretch.kind}: seed {stretch.seed}, {stretch.took_s:.0f} s, {_told(tally)}")
        for remark in tally.remarks:
            click.echo(f"  {remark}")
        if options.report:
            write_report(options.report, record.found)
    return int(total.faults > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="of each kind")
    parser.add_argument("--kinds", default=",".join(KINDS), help="NAME or NAME:ROUNDS, by commas")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument(
        "--campaign",
        type=int,
        metavar="SEED",
        help="do again one stretch of one kind, by the seed that was told with it",
    )
    parser.add_argument("--jobs", type=int, default=1, help="stretches at the same time")
    parser.add_argument("--report", type=Path, help="where to write what was found, as Markdown")
    parser.add_argument(
        "--record",
        type=Path,
        help="where to keep what each stretch found; what it has of the same code counts",
    )
    parser.add_argument("--found", type=Path, help="where to write what --campaign found, as JSON")
    return parser.parse_args()


def _one(options: argparse.Namespace) -> int:
    """Do one stretch."""
    name, _, own = options.kinds.partition(":")
    rounds = int(own or options.rounds)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="trainmon-kills-") as folder:
        try:
            tally = campaign(KINDS[name], rounds, options.campaign, Path(folder) / name)
        except AssertionError as error:
            tally = Tally(rounds=rounds, stuck=1, remarks=[str(error)])
    if options.found:
        options.found.write_text(tally.to_json())
        return 0
    took_s = time.monotonic() - began_s
    click.echo(f"{name}: seed {options.campaign}, {took_s:.0f} s, {_told(tally)}")
    for remark in tally.remarks:
        click.echo(f"  {remark}")
    return int(tally.faults > 0)


def _stretches(options: argparse.Namespace, record: Record) -> list[Stretch]:
    """Return what is to be done, the kinds by turns: an early end leaves some rounds of each."""
    turns: list[tuple[int, Stretch]] = []
    for each in options.kinds.split(","):
        name, _, own = each.partition(":")
        done = record.found[name].rounds if name in record.found else 0
        seeds = campaign_seeds(options.seed, name)
        turn = 0
        while done < int(own or options.rounds):
            rounds = min(_STRETCH, int(own or options.rounds) - done)
            turns.append((turn, Stretch(name, rounds, next(seeds))))
            done += rounds
            turn += 1
    return [stretch for _, stretch in sorted(turns, key=lambda pair: pair[0])]


def _told(tally: Tally) -> str:
    return (
        f"{tally.rounds} rounds, {tally.runs} runs, {tally.steps} steps, {tally.rows} rows, "
        f"{tally.epochs} epochs, {tally.lost} lost, {tally.doubled} doubled, {tally.differing} "
        f"differing, {tally.at_risk} at risk (oldest {tally.oldest_at_risk_ms} ms), "
        f"{tally.commands} commands, {tally.endless} endless, {tally.contradicted} contradicted, "
        f"{tally.watched} watched, {tally.resumed} resumed, {tally.misseen} misseen, "
        f"{tally.misjudged} misjudged, {tally.stuck} stuck"
    )


if __name__ == "__main__":
    sys.exit(main())
