"""The steps of a real training with and without trainmon, in pairs that take turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from common.monitored import ArrivalError, Monitored
from common.orders import Worker

__all__ = ["KINDS", "Kind", "Steps", "measure"]

_STEPS = 250
_TILE = 128
_RATE = 60.0
_SERIES = ("loss", "accuracy", "grad_norm", "perplexity", "margin")


@dataclass(frozen=True)
class Kind:
    """How one training is run."""

    what: str
    pixels: str
    ours: bool = True
    tiles: bool = True
    watched: bool = False
    encoded: bool = False
    """Whether another process encodes as many pictures as are due, though none are handed over."""

    @property
    def pair(self) -> Kind:
        """What it is compared with."""
        return _BARE[self.pixels]

    @property
    def floor(self) -> Kind:
        """What no tool that shows pictures can do without."""
        return _FLOOR[self.pixels]


_BARE = {
    pixels: Kind("without trainmon", pixels, ours=False, tiles=False)
    for pixels in ("uint8", "float32")
}
_FLOOR = {
    pixels: Kind("without trainmon: tiles copied, and encoded by another process", pixels,
                 ours=False, encoded=True)
    for pixels in ("uint8", "float32")
}  # fmt: skip
KINDS = (
    _BARE["uint8"],
    _FLOOR["uint8"],
    Kind("nobody watching, 5 scalars", "uint8", tiles=False),
    Kind("nobody watching, + 16 tiles", "uint8"),
    Kind("watched at 60 frames/s, + 16 tiles", "uint8", watched=True),
    _BARE["float32"],
    _FLOOR["float32"],
    Kind("nobody watching, + 16 tiles", "float32"),
    Kind("watched at 60 frames/s, + 16 tiles", "float32", watched=True),
)


@dataclass
class Steps:
    """What was found in each round."""

    mean_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    pictures: int = 0
    steps: int = 0


def measure(
    monitor: Monitored,
    worker: Worker,
    encoder: Worker,
    number: int,
    found: dict[Kind, Steps],
    note: Callable[[str], None],
) -> None:
    """Train once in each way; each round begins with another one.

    Args:
        monitor: Sees it.
        worker: Obeys common.torch_steps.
        encoder: Obeys common.calls.
        number: Of the round.
        found: Takes what is found.
        note: Told what is measured now.

    Raises:
        ArrivalError: What was logged has not arrived, or a training has computed something else
            than its pair.
    """
    turn = 2 * number % len(KINDS)
    losses: dict[str, dict[str, str]] = {}
    for kind in KINDS[turn:] + KINDS[:turn]:
        note(f"Torch training {number + 1}, {kind.pixels}, {kind.what}")
        told = _train(monitor, worker, encoder, kind, f"torch {number} {kind.pixels} {kind.what}")
        steps = found[kind]
        steps.mean_ms.append(told["mean"])
        steps.p99_ms.append(told["p99"])
        steps.steps += _STEPS
        steps.pictures += told.get("pictures", 0)
        losses.setdefault(kind.pixels, {})[kind.what] = told["loss"]
    for pixels, each in losses.items():
        if len(set(each.values())) > 1:
            raise ArrivalError(f"trainings on {pixels} came to different losses: {each}")


def _train(
    monitor: Monitored, worker: Worker, encoder: Worker, kind: Kind, name: str
) -> dict[str, Any]:
    worker.ask(
        kind=kind.pixels,
        tiles=kind.tiles,
        monitor=monitor.address if kind.ours else "",
        name=name,
        steps=_STEPS,
    )
    if kind.watched:
        monitor.watch(name, _RATE, _TILE)
    if kind.encoded:
        encoder.ask(what="encode on", edge=_TILE, kind=kind.pixels)
    told = worker.ask(go=True)
    if kind.encoded:
        encoder.ask(enough=True)
    if kind.watched:
        told.update(monitor.seen(told["first"], told["steps"]))
    if kind.ours:
        monitor.demand_rows(name, _SERIES, told["steps"])
    return told
