"""What a step costs at 60 Hz in trainmon, and beside it what no tool can do without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from common.monitored import Monitored
from common.orders import Worker
from common.paced import RATE
from common.report import percentile

__all__ = ["CASES", "LIMITS", "Case", "Cost", "Limit", "measure"]

EDGES = (64, 128, 256, 512)
KINDS = ("uint8", "float32")
#: Watched: enough for the thousandth in three rounds. Unwatched: as long as it takes until the next
#: picture is kept for the history, so that each run pays for one.
_WATCHED_STEPS, _UNWATCHED_STEPS = 340, 600
_LIMIT_STEPS = {"record": 60, "copy": 40, "encode": 20}
_SERIES = ("loss", "accuracy", "grad_norm", "perplexity", "learning_rate")


@dataclass(frozen=True)
class Case:
    """What is logged, and whether anyone looks."""

    edge: int
    """Of the 16 tiles in pixels; 0: there are none."""
    kind: str = "uint8"
    watched: bool = True
    computes: bool = True
    """Whether the training computes from one step to the next; else it waits."""

    @property
    def what(self) -> str:
        """What is logged, for people."""
        tiles = f"+ 16 tiles {self.edge} px {self.kind}" if self.edge else "5 scalars"
        return tiles if self.computes else f"{tiles}, waiting between"


@dataclass(frozen=True)
class Limit:
    """What is done with the pixels by themselves."""

    what: str
    edge: int = 0
    kind: str = "uint8"
    computes: bool = True


@dataclass
class Cost:
    """What was found in each round."""

    times_ms: list[list[float]] = field(default_factory=list)
    trainer_ms: list[float] = field(default_factory=list)
    """CPU of the training's thread per step; so the next two."""
    relay_ms: list[float] = field(default_factory=list)
    monitor_ms: list[float] = field(default_factory=list)
    pictures: int = 0
    steps: int = 0
    edge: int = 0
    """Of the tiles that were shown."""

    def add(self, found: dict[str, Any]) -> None:
        """Take what one round has found."""
        steps = len(found["times_ms"])
        self.steps += steps
        self.times_ms.append(found["times_ms"])
        for name in ("trainer_ms", "relay_ms", "monitor_ms"):
            getattr(self, name).append(found[name] / steps)

    @property
    def all_ms(self) -> list[float]:
        """CPU per step of all processes, by round."""
        parts = zip(self.trainer_ms, self.relay_ms, self.monitor_ms, strict=True)
        return [sum(each) for each in parts]

    def per_round(self, part: float) -> list[float]:
        """Return a percentile of the calls of each round, in ms."""
        return [percentile(times, part) for times in self.times_ms]

    def pooled(self, part: float) -> float:
        """Return a percentile of the calls of all rounds together, in ms."""
        return percentile([time for times in self.times_ms for time in times], part)


CASES = (
    Case(0, watched=False),
    Case(256, "uint8", watched=False),
    Case(0),
    *(Case(edge, kind) for kind in KINDS for edge in EDGES),
    Case(0, computes=False),
    Case(256, computes=False),
)
LIMITS = (
    Limit("record"),
    Limit("record", computes=False),
    Limit("copy", 256, computes=False),
    *(Limit("copy", edge, kind) for kind in KINDS for edge in EDGES),
    *(Limit("encode", edge, computes=False) for edge in EDGES),
)


def measure(
    monitor: Monitored, worker: Worker, number: int, note: Callable[[str], None]
) -> Iterator[tuple[Case | Limit, dict[str, Any]]]:
    """Measure every case once.

    Args:
        monitor: Sees it.
        worker: Obeys common.calls.
        number: Of the round.
        note: Told what is measured now.

    Raises:
        ArrivalError: What was logged has not arrived.
    """
    for case in CASES:
        note(f"{case.what}, {'watched' if case.watched else 'nobody watching'}")
        yield case, _cost(monitor, worker, case, f"{number} {case.what} {case.watched}")
    note("a record, copying and encoding alone")
    for limit in LIMITS:
        order = {"what": limit.what, "edge": limit.edge, "kind": limit.kind}
        steps = _LIMIT_STEPS[limit.what]
        yield limit, worker.ask(**order, computes=limit.computes, steps=steps)


def _cost(monitor: Monitored, worker: Worker, case: Case, name: str) -> dict[str, Any]:
    steps = _WATCHED_STEPS if case.watched else _UNWATCHED_STEPS
    worker.ask(
        what="log",
        monitor=monitor.address,
        monitor_pid=monitor.pid,
        name=name,
        edge=case.edge,
        kind=case.kind,
        computes=case.computes,
        steps=steps,
    )
    if case.watched:
        monitor.watch(name, RATE, case.edge, pictures=case.edge > 0)
    found = worker.ask(go=True)
    if case.watched:
        found.update(monitor.seen(found["first"], found["first"] + steps))
    monitor.demand_rows(name, _SERIES, found["steps"])
    return found
