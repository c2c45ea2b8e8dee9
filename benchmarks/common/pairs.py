"""The steps of a real training with and without trainmon, in pairs that take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from common.monitored import ArrivalError, Monitored
from common.orders import Worker
from common.paced import RATE

__all__ = ["BUDGETED_EDGE", "KINDS", "Kind", "Steps", "measure"]

#: Of the pictures that the design's budget of the step time is for.
BUDGETED_EDGE = 128
_SERIES = ("loss", "accuracy", "grad_norm", "perplexity", "margin")


@dataclass(frozen=True)
class Kind:
    """How one training is run."""

    pixels: str
    edge: int
    """Of its pictures, and of the tiles that are watched."""
    ours: bool = True
    tiles: bool = True
    watched: bool = False
    encoded: bool = False
    """Whether another process encodes as many pictures as are due, though none are handed over."""

    @property
    def what(self) -> str:
        """What is done, for people."""
        if not self.ours:
            copied = ": tiles copied, and encoded by another process"
            return f"without trainmon{copied if self.encoded else ''}"
        seen = "watched at 60 frames/s" if self.watched else "nobody watching"
        return f"{seen}, {'+ 16 tiles' if self.tiles else '5 scalars'}"

    @property
    def steps(self) -> int:
        """How many are timed. Those on large pictures take long."""
        return 250 if self.edge <= 256 else 100

    @property
    def pair(self) -> Kind:
        """What it is compared with."""
        return Kind(self.pixels, self.edge, ours=False, tiles=False)

    @property
    def floor(self) -> Kind:
        """What no tool that shows pictures can do without."""
        return Kind(self.pixels, self.edge, ours=False, encoded=True)

    @property
    def budgeted(self) -> bool:
        """Whether the design has a budget for it."""
        return self.watched and self.tiles and self.edge == BUDGETED_EDGE


def _kinds() -> Iterator[Kind]:
    for pixels in ("uint8", "float32"):
        for edge in (64, 128, 256, 512):
            whole = Kind(pixels, edge)
            yield from (whole.pair, whole.floor)
            if (pixels, edge) == ("uint8", BUDGETED_EDGE):
                yield Kind(pixels, edge, tiles=False)
                yield Kind(pixels, edge, tiles=False, watched=True)
            yield from (whole, Kind(pixels, edge, watched=True))


KINDS = tuple(_kinds())


@dataclass
class Steps:
    """What was found in each round."""

    mean_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    pictures: int = 0
    edge: int = 0
    """Of the tiles that came, in pixels."""
    steps: int = 0


def measure(
    monitor: Monitored,
    worker: Worker,
    encoder: Worker,
    number: int,
    kinds: Sequence[Kind],
    found: dict[Kind, Steps],
    note: Callable[[str], None],
) -> None:
    """Train once in each way; trainings on the same pictures follow each other, in turns.

    Args:
        monitor: Sees it.
        worker: Obeys common.torch_steps.
        encoder: Obeys common.calls.
        number: Of the round.
        kinds: How to train.
        found: Takes what is found.
        note: Told what is measured now.

    Raises:
        ArrivalError: What was logged has not arrived, or a training has computed something else
            than its pair.
    """
    losses: dict[Kind, dict[Kind, str]] = {}
    for kind in _in_turns(kinds, number):
        named = f"{kind.edge} px {kind.pixels}, {kind.what}"
        note(f"Torch training {number + 1}, {named}")
        due = min(RATE, 1e3 / found[kind.pair].mean_ms[-1]) if kind.encoded else 0.0
        told = _train(monitor, worker, encoder, kind, due, f"torch {number} {named}")
        steps = found[kind]
        steps.mean_ms.append(told["mean"])
        steps.p99_ms.append(told["p99"])
        steps.steps += kind.steps
        steps.pictures += told.get("pictures", 0)
        steps.edge = max(steps.edge, told.get("edge", 0))
        losses.setdefault(kind.pair, {})[kind] = told["loss"]
    for each in losses.values():
        if len(set(each.values())) > 1:
            raise ArrivalError(f"trainings on the same pictures came to different losses: {each}")


def _in_turns(kinds: Sequence[Kind], number: int) -> Iterator[Kind]:
    """Give those of the same pictures one after the other; each round begins with another one."""
    for _, each in groupby(kinds, lambda kind: kind.pair):
        group = list(each)
        turn = number % len(group)
        yield from (*group[turn:], *group[:turn])


def _train(
    monitor: Monitored, worker: Worker, encoder: Worker, kind: Kind, due: float, name: str
) -> dict[str, Any]:
    """Train in one way; ``due`` pictures per second are encoded where that is wanted."""
    worker.ask(
        kind=kind.pixels,
        edge=kind.edge,
        tiles=kind.tiles,
        monitor=monitor.address if kind.ours else "",
        name=name,
        steps=kind.steps,
    )
    if kind.watched:
        monitor.watch(name, RATE, kind.edge, pictures=kind.tiles)
    if kind.encoded:
        encoder.ask(what="encode on", edge=kind.edge, rate=due)
    told = worker.ask(go=True)
    if kind.encoded:
        encoder.ask(enough=True)
    if kind.watched:
        told.update(monitor.seen(told["first"], told["steps"]))
    if kind.ours:
        monitor.demand_rows(name, _SERIES, told["steps"])
    return told
