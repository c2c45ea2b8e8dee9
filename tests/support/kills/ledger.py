"""What was told against what is stored, to the last bit."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from kills.tiny import EPOCH_STEPS
from trainmon.v1.telemetry_pb2 import EpochData, MetricSeries

__all__ = ["AT_RISK_MS", "LogLine", "Tally", "compare", "compare_epochs", "read_log"]

#: Trainer and relay both killed: law 3 lets what was told in this time be missing, in ms.
AT_RISK_MS = 100
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
    epochs: int = 0
    """Epochs compared."""
    lost: int = 0
    doubled: int = 0
    differing: int = 0
    """Scalars that are not what was told, or that nobody told."""
    at_risk_ms: list[int] = field(default_factory=list)
    """Of each step missing that was told just before trainer and relay were both killed: when."""
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
    misjudged: int = 0
    """Runs shown as something else than they are, or with records missing that are not."""
    stuck: int = 0
    """Stretches of rounds after which something never came to its end."""
    remarks: list[str] = field(default_factory=list)

    @classmethod
    def from_json(cls, text: str) -> Tally:
        """Return what :meth:`to_json` made a text of."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """Return it as a text, for another process."""
        return json.dumps(asdict(self))

    def add(self, other: Tally) -> None:
        """Add another's findings."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    @property
    def at_risk(self) -> int:
        """How many steps those are."""
        return len(self.at_risk_ms)

    @property
    def oldest_at_risk_ms(self) -> int:
        """How long before the kill the oldest of them was told; 0: there is none."""
        return max(self.at_risk_ms, default=0)

    @property
    def faults(self) -> int:
        """What should not have been."""
        scalars = self.lost + self.doubled + self.differing
        commands = self.endless + self.contradicted
        return scalars + commands + self.misseen + self.misjudged + self.stuck


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
    # Both killed, the rows of a step reached the disk together, or not at all.
    bound = len(log) if both_killed_s is None else min(len(log), _newest(points) + 1)
    for name in sorted(told.keys() | points.keys()):
        _compare_series(tally, name, told.get(name, {}), points.get(name, []), bound)
    _judge_missing(tally, log, points.get("loss", []), both_killed_s)
    return tally


def _newest(points: _Points) -> int:
    """Return the newest step whose loss is stored, which every step has; -1: there is none."""
    return max((step for step, _ in points.get("loss", [])), default=-1)


def _compare_series(
    tally: Tally, name: str, told: dict[int, bytes], points: list[tuple[int, bytes]], bound: int
) -> None:
    times = Counter(step for step, _ in points)
    doubled = sorted(step for step, count in times.items() if count > 1)
    wrong = sorted({step for step, value in points if told.get(step) != value})
    tally.rows += len(points)
    tally.doubled += len(doubled)
    tally.differing += len(wrong)
    if name != "loss":  # of the loss it is judged how long before the end it was told
        stored = {step for step, _ in points}
        missing = [step for step in told if step < bound and step not in stored]
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
            tally.at_risk_ms.append(round((both_killed_s - line.time_s) * 1e3))
        else:
            tally.lost += 1
    if missing:
        tally.remarks.append(
            f"loss: {len(missing)} of {len(log)} steps missing, {missing[0].step} to "
            f"{missing[-1].step}, the newest stored is {newest}"
        )


def compare_epochs(
    steps: int,
    undisturbed: list[dict[str, float]],
    stored: Iterable[EpochData],
    newest: int | None,
    ended: bool,
) -> Tally:
    """Compare the epochs of a run with those that the store has.

    Args:
        steps: Steps in the training's log.
        undisturbed: Scalars of each step, at least one more than the log has.
        stored: Every epoch, as it is stored.
        newest: The newest step stored, where trainer and relay were both killed; None: they
            were not.
        ended: The training came to its end, and so told every epoch.
    """
    tally = Tally()
    times = Counter(epoch.epoch for epoch in stored)
    # Killed right behind a step it has written down, or told, a training has told the epoch or not.
    most = (steps + (0 if ended else 1)) // EPOCH_STEPS
    least = most if ended else max(0, steps - 1) // EPOCH_STEPS
    if newest is not None:
        least = min(least, newest // EPOCH_STEPS)
    tally.epochs = sum(times.values())
    tally.lost = sum(number not in times for number in range(least))
    tally.doubled = sum(count > 1 for count in times.values())
    tally.differing = sum(not _is_told(each, most, undisturbed) for each in stored)
    if tally.faults:
        tally.remarks.append(f"epochs {sorted(times.elements())} of {least} to {most} are stored")
    return tally


def _is_told(epoch: EpochData, most: int, undisturbed: list[dict[str, float]]) -> bool:
    """Return whether an epoch is what the training told of it; a mean of losses need not be there.

    A relay that follows another which left nothing on disk has not seen all of the losses.
    """
    if epoch.epoch >= most:
        return False
    steps = undisturbed[epoch.epoch * EPOCH_STEPS : (epoch.epoch + 1) * EPOCH_STEPS]
    mean = 0.0
    for each in steps:
        mean += each["loss"]
    mean /= EPOCH_STEPS
    told = epoch.validation_loss == steps[-1]["loss"]
    return told and (not epoch.HasField("average_loss") or epoch.average_loss == mean)


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
