"""The table of docs/losses.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import psutil

from kills.faults import KINDS
from kills.ledger import AT_RISK_MS, Tally

__all__ = ["write_report"]

_START, _END = "<!-- kills: start -->", "<!-- kills: end -->"
_HEAD = (
    "| what was done | rounds | runs | steps handed over | scalars compared | lost | doubled "
    "| not as told | epochs | commands | without one end | rows watched | missed or seen twice "
    "| shown wrongly | stuck |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
)


def write_report(path: Path, found: Mapping[str, Tally]) -> None:
    """Put the table between the marks of a page that is there."""
    text = path.read_text()
    before, rest = text.split(_START, 1)
    after = rest.split(_END, 1)[1]
    rows = "".join(_row(KINDS[name].title, found[name]) for name in KINDS if name in found)
    total = Tally()
    for tally in found.values():
        total.add(tally)
    rows += _row("**all**", total)
    table = f"{_START}\n\n{_HEAD}{rows}\n{_at_risk(total)}\n\n{_machine()}\n\n{_END}"
    passing = path.with_suffix(".new")
    passing.write_text(before + table + after)
    passing.replace(path)


def _row(title: str, tally: Tally) -> str:
    numbers = (
        tally.rounds,
        tally.runs,
        tally.steps,
        tally.rows,
        tally.lost,
        tally.doubled,
        tally.differing,
        tally.epochs,
        tally.commands,
        tally.endless + tally.contradicted,
        tally.watched,
        tally.misseen,
        tally.misjudged,
        tally.stuck,
    )
    return f"| {title} | {' | '.join(f'{number:,}' for number in numbers)} |\n"


def _at_risk(total: Tally) -> str:
    ages = sorted(total.at_risk_ms)
    if not ages:
        return "No step was at risk: training and relay were never killed within the same moment."
    late = sum(age > AT_RISK_MS for age in ages)
    return (
        "Where training and relay were killed within the same moment, the newest steps had not "
        f"reached the disk: {len(ages):,} steps in all. Half of them were told less than "
        f"{ages[len(ages) // 2]} ms before, nine of ten less than {ages[len(ages) * 9 // 10]} ms, "
        f"the oldest {ages[-1]} ms; {late:,} more than the {AT_RISK_MS} ms that are promised of a "
        "relay that gets a processor. They are not counted as lost."
    )


def _machine() -> str:
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, trainmon {version('trainmon')}, protobuf "
        f"{version('protobuf')}, grpclib {version('grpclib')}, SQLAlchemy {version('sqlalchemy')}."
    )
