"""What was told against what is stored, to the last bit."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from trainmon.v1.telemetry_pb2 import MetricSeries

__all__ = ["LogLine", "Tally", "compare", "read_log"]

#: Trainer and relay both killed: law 3 lets what was told in this time be missing, in seconds.
AT_RISK_S = 0.1
_Points = dict[str, list[tuple[int, bytes]]]


@dataclass(frozen=True)
class LogLine:
    """A step as the training wrote it down."""

    step: int
    time_s: float
    scalars: Mapping[str, float]


@dataclass
class Tally:
    """What was found, of one run or of many."""

    rounds: int = 0
    runs: int = 0
    steps: int = 0
    """Steps that were handed over."""
    rows: int = 0
    """Scalars compared."""
    lost: int = 0
    doubled: int = 0
    differing: int = 0
    """Scalars that are not what was told, or that nobody told."""
    at_risk: int = 0
    """Steps missing that were told just before trainer and relay were both killed."""
    oldest_at_risk_ms: float = 0.0
    """How long before that the oldest of them was told."""
    commands: int = 0
    endless: int = 0
    """Commands on record without an end, or not on record."""
    contradicted: int = 0
    """Commands whose end is not what the training saw, or that were carried out twice."""
    watched: int = 0
    """Rows that came to somebody who watched."""
    resumed: int = 0
    """Streams that went on from a cursor."""
    misseen: int = 0
    """Times when a row was left out on such a stream, or came again."""
    stuck: int = 0
    """Stretches of rounds after which something never came to its end."""
    remarks: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add another's findings."""
        for each in fields(self):
            if each.name == "oldest_at_risk_ms":
                self.oldest_at_risk_ms = max(self.oldest_at_risk_ms, other.oldest_at_risk_ms)
            else:
                total = getattr(self, each.name) + getattr(other, each.name)
                setattr(self, each.name, total)

    @property
    def faults(self) -> int:
        """What should not have been."""
        scalars = self.lost + self.doubled + self.differing
        return scalars + self.endless + self.contradicted + self.misseen + self.stuck


def read_log(path: Path) -> list[LogLine]:
    """Return the whole lines of a training's log."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    found = []
    for line in lines:
        step, time_ns, *scalars = line.split(" ")
        pairs = (each.split("=") for each in scalars)
        values = {name: float.fromhex(value) for name, value in pairs}
        found.append(LogLine(int(step), int(time_ns) / 1e9, values))
    return found


def compare(
    log: list[LogLine],
    undisturbed: list[dict[str, float]],
    stored: Iterable[MetricSeries],
    both_killed_s: float | None,
    ended: bool,
) -> Tally:
    """Compare a run's log and an undisturbed run with what the store has.

    Args:
        log: What the training wrote.
        undisturbed: Scalars of each step, at least one more than the log has.
        stored: Every point of every series.
        both_killed_s: When trainer and relay were both dead, s since the epoch; None: never.
        ended: The training came to its end, and so wrote down everything.
    """
    tally = Tally(runs=1, steps=len(log))
    if [line.step for line in log] != list(range(len(log))):
        tally.differing += 1
        tally.remarks.append("the training's log is not whole")
    for line in log:
        if _bits(line.scalars) != _bits(undisturbed[line.step]):
            tally.differing += 1
            tally.remarks.append(f"step {line.step} was trained otherwise than undisturbed")
    points = _points(stored)
    # Killed between handing a step over and writing it down: the log lacks one.
    most = len(log) + (0 if ended else 1)
    told = _told(undisturbed[:most])
    for name in sorted(told.keys() | points.keys()):
        _compare_series(tally, name, told.get(name, {}), points.get(name, []), len(log))
    _judge_missing(tally, log, points.get("loss", []), both_killed_s)
    return tally


def _compare_series(
    tally: Tally, name: str, told: dict[int, bytes], points: list[tuple[int, bytes]], logged: int
) -> None:
    times = Counter(step for step, _ in points)
    doubled = sorted(step for step, count in times.items() if count > 1)
    wrong = sorted({step for step, value in points if told.get(step) != value})
    tally.rows += len(points)
    tally.doubled += len(doubled)
    tally.differing += len(wrong)
    if name != "loss":  # of the loss it is judged how long before the end it was told
        stored = {step for step, _ in points}
        newest = max(stored, default=-1)
        missing = [step for step in told if step < min(logged, newest) and step not in stored]
        tally.lost += len(missing)
        if missing:
            tally.remarks.append(f"{name}: {len(missing)} missing, from step {missing[0]}")
    if doubled:
        tally.remarks.append(f"{name}: {len(doubled)} doubled, from step {doubled[0]}")
    if wrong:
        tally.remarks.append(f"{name}: {len(wrong)} differ, from step {wrong[0]}")


def _judge_missing(
    tally: Tally, log: list[LogLine], points: list[tuple[int, bytes]], both_killed_s: float | None
) -> None:
    stored = {step for step, _ in points}
    missing = [line for line in log if line.step not in stored]
    newest = max(stored, default=-1)
    for line in missing:
        # Only the newest may be missing, never one before a step that is there.
        if both_killed_s is not None and line.step > newest:
            tally.at_risk += 1
            age_ms = (both_killed_s - line.time_s) * 1e3
            tally.oldest_at_risk_ms = max(tally.oldest_at_risk_ms, age_ms)
        else:
            tally.lost += 1
    if missing:
        tally.remarks.append(
            f"loss: {len(missing)} of {len(log)} steps missing, {missing[0].step} to "
            f"{missing[-1].step}, the newest stored is {newest}"
        )


def _points(stored: Iterable[MetricSeries]) -> _Points:
    found: _Points = {}
    for series in stored:
        if series.name == "learning_rate":
            continue
        name = series.name if not series.counts else f"{series.name} (merged)"
        rows = zip(series.steps, series.values, strict=True)
        found.setdefault(name, []).extend((int(step), _packed(value)) for step, value in rows)
    return found


def _told(steps: list[dict[str, float]]) -> dict[str, dict[int, bytes]]:
    found: dict[str, dict[int, bytes]] = {}
    for number, scalars in enumerate(steps):
        for name, value in scalars.items():
            found.setdefault(name, {})[number] = _packed(value)
    return found


def _bits(scalars: Mapping[str, float]) -> dict[str, bytes]:
    return {name: _packed(value) for name, value in scalars.items()}


def _packed(value: float) -> bytes:
    # NaN has many bit patterns, and a log in text keeps only that it is one.
    return b"nan" if value != value else struct.pack("<d", value)
