"""What benchmarks/overhead.py has found, as tables and as budgets met or missed."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rivals.beside import Rival

from common.costs import EDGES, Case, Cost, Limit
from common.paced import RATE
from common.pairs import Kind, Steps
from common.report import percentile, table
from trainmon.config import Settings

__all__ = ["Budget", "budgets", "calls", "rivals_beside", "step_times", "unwatched"]

Costs = Mapping[Case, Cost]
Limits = Mapping[Limit, Sequence[float]]
Pairs = Mapping[Kind, Steps]

#: Of the pictures that were to be delivered: with fewer no budget of them is met.
_DELIVERED = 0.95


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Return the median, with the least and the greatest."""
    middle, least, most = (
        f"{each:.{digits}f}" for each in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} ({least}–{most})"


# --- tables ---------------------------------------------------------------------------------------


def calls(costs: Costs, limits: Limits) -> str:
    """Return what a step costs that is watched."""
    rows = []
    for case, cost in costs.items():
        if not case.watched:
            continue
        encode = limits.get(Limit("encode", case.edge, case.kind, computes=False))
        rows.append(
            (
                case.what,
                spread(cost.per_round(0.5)),
                spread(cost.per_round(0.99)),
                f"{cost.pooled(0.999):.2f}",
                *_cpu(cost),
                _shown(case, cost),
                spread(_floor(case, limits)),
                spread(encode, 2) if encode else "–",
            )
        )
    header = ("watched at 60 frames/s", "p50", "p99", "p99.9 of all", "CPU: training's thread",
              "relay", "monitor", "pictures/s delivered", "limit: a record, or copying",
              "encoding")  # fmt: skip
    return table(header, rows)


def _floor(case: Case, limits: Limits) -> Sequence[float]:
    """Return what the call cannot do without, by rounds: a record, or copying."""
    if not case.edge:
        return limits[Limit("record", computes=case.computes)]
    return limits[Limit("copy", case.edge, case.kind, case.computes)]


def unwatched(costs: Costs) -> str:
    """Return what a step costs that nobody watches."""
    rows = [
        (case.what, spread(cost.per_round(0.5)), spread(cost.per_round(0.99)),
         f"{cost.pooled(0.999):.2f}", *_cpu(cost), spread(cost.all_ms))
        for case, cost in costs.items()
        if not case.watched
    ]  # fmt: skip
    header = ("nobody watching", "p50", "p99", "p99.9 of all", "CPU: training's thread", "relay",
              "monitor", "all")  # fmt: skip
    return table(header, rows)


def _cpu(cost: Cost) -> tuple[str, ...]:
    return tuple(spread(each) for each in (cost.trainer_ms, cost.relay_ms, cost.monitor_ms))


def _shown(case: Case, cost: Cost) -> str:
    if not case.edge:
        return "–"
    smaller = "" if cost.edge == case.edge else f", as {cost.edge} px"
    return f"{RATE * cost.pictures / cost.steps:.0f}{smaller}"


def rivals_beside(costs: Costs, found: Sequence[Rival]) -> str:
    """Return what the same logging costs in other tools."""
    columns = [(0, "uint8"), *((edge, "uint8") for edge in EDGES), (256, "float32")]
    rows: list[tuple[str, ...]] = []
    for rival in found:
        if rival.missing:
            rows.append((rival.title, rival.missing, *("–" for _ in columns)))
            continue
        told = [rival.found[case] for case in columns]
        rows.append(
            (
                f"{rival.title} {rival.version}",
                *(_two(each.per_round(0.5), each.per_round(0.99)) for each in told),
                _two(told[0].cpu_ms, told[columns.index((256, "uint8"))].cpu_ms),
            )
        )
    ours = [costs[Case(edge, kind)] for edge, kind in columns]
    rows.append(
        (
            "**trainmon**, watched",
            *(_two(each.per_round(0.5), each.per_round(0.99)) for each in ours),
            _two(ours[0].all_ms, ours[columns.index((256, "uint8"))].all_ms),
        )
    )
    header = ("ms in the call, p50 / p99", "5 scalars",
              *(f"+ 16 tiles {edge} px" for edge in EDGES), "256 px, normalised float32",
              "CPU of all processes: scalars / 256 px")  # fmt: skip
    return table(header, rows)


def _two(first: Sequence[float], second: Sequence[float]) -> str:
    least, most = _short(min(first)), _short(max(first))
    one, other = (_short(statistics.median(each)) for each in (first, second))
    return f"{one} ({least}–{most}) / {other}"


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def step_times(pairs: Pairs) -> str:
    """Return the steps of the Torch training, and how they differ from those of their pair."""
    rows: list[tuple[object, ...]] = []
    for kind, steps in pairs.items():
        bare = pairs[kind.pair]
        row: list[object] = [f"{kind.edge} px {kind.pixels}", kind.what]
        for ours, theirs in ((steps.mean_ms, bare.mean_ms), (steps.p99_ms, bare.p99_ms)):
            row += [f"{statistics.median(ours):.2f}",
                    "–" if kind == kind.pair else _percent(_changes(ours, theirs))]  # fmt: skip
        rows.append((*row, _delivered(kind, steps)))
    header = ("pictures", "", "mean, ms", "to its pair", "p99, ms", "to its pair",
              "of the pictures due, delivered")  # fmt: skip
    return table(header, rows)


def _delivered(kind: Kind, steps: Steps) -> str:
    if not (kind.watched and kind.tiles):
        return "–"
    reduced = f", as {steps.edge} px" if steps.edge < kind.edge else ""
    return f"{_share(steps):.0%}{reduced}"


def _changes(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [a / b - 1 for a, b in zip(ours, theirs, strict=True)]


def _percent(changes: Sequence[float]) -> str:
    return f"{statistics.median(changes):+.1%} ({min(changes):+.1%} to {max(changes):+.1%})"


def _share(steps: Steps) -> float:
    """Return which part of the pictures that were due has come: 60 a second, one a step at most."""
    lasted_s = steps.steps * statistics.fmean(steps.mean_ms) / 1e3
    return min(1.0, steps.pictures / min(steps.steps, lasted_s * RATE))


# --- budgets --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Budget:
    """A limit of the design, and what was found."""

    what: str
    limit: float
    found: float
    unit: str
    missing: str = ""
    """What was left undone; then it is not met, whatever was found."""
    floor: float | None = None
    """What was found of that which no tool can do without; None: it was not measured."""

    @property
    def verdict(self) -> str:
        """Whether it is met, and else by how much it is not."""
        if self.missing:
            return f"**missed**: {self.missing}"
        if self.found <= self.limit:
            return "met"
        return f"**missed** by {self._told(self.found - self.limit)}"

    @property
    def row(self) -> tuple[str, ...]:
        """For the table."""
        floor = "–" if self.floor is None else self._told(self.floor)
        found = self._told(self.found)
        return (self.what, f"≤ {self._told(self.limit)}", found, floor, self.verdict)

    def _told(self, value: float) -> str:
        return f"{value:.1%}" if self.unit == "%" else f"{value:.3g} {self.unit}"


def budgets(costs: Costs, limits: Limits, pairs: Pairs) -> str:
    """Return what the design demands, met or missed, and what no tool can do without."""
    calls = _budgets_of_calls(costs, limits)
    found = [*calls, *_budgets_of_cpu(costs), *_budgets_of_steps(pairs)]
    return table(("budget", "limit", "found", "floor here", ""), [each.row for each in found])


def _budgets_of_calls(costs: Costs, floors: Limits) -> list[Budget]:
    found = []
    for case, limits in ((Case(0), (0.02, 0.1)), (Case(256), (0.15, 0.5))):
        cost = costs[case]
        part = 1.0 if not case.edge else cost.pictures / cost.steps
        missing = "" if part >= _DELIVERED else f"{part:.0%} of the pictures were delivered"
        for part, limit in zip((0.5, 0.99), limits, strict=True):
            name = f"time in the call, {case.what}, p{part * 100:.0f}"
            value = statistics.median(cost.per_round(part))
            floor = statistics.median(_floor(case, floors)) if part == 0.5 else None
            found.append(Budget(name, limit, value, "ms", missing, floor))
    return found


def _budgets_of_cpu(costs: Costs) -> list[Budget]:
    quiet = [
        Budget(f"CPU per step, nobody watching, {case.what}, all processes", 0.1,
               statistics.median(cost.all_ms), "ms")
        for case, cost in costs.items()
        if not case.watched
    ]  # fmt: skip
    cores = max(
        statistics.median(cost.relay_ms) * RATE / 1e3
        for case, cost in costs.items()
        if case.watched
    )
    allowed = Settings().overhead_budget
    return [*quiet, Budget("relay, watched, the dearest case above", allowed, cores, "cores")]


def _budgets_of_steps(pairs: Pairs) -> list[Budget]:
    found = []
    for kind, steps in pairs.items():
        if not kind.budgeted:
            continue
        share = _share(steps)
        missing = "" if share >= _DELIVERED else f"{share:.0%} of the pictures were delivered"
        bare, least = pairs[kind.pair], pairs[kind.floor]
        for name, limit, ours, floors, theirs in (
            ("mean", 0.01, steps.mean_ms, least.mean_ms, bare.mean_ms),
            ("p99", 0.03, steps.p99_ms, least.p99_ms, bare.p99_ms),
        ):
            value, floor = (statistics.median(_changes(each, theirs)) for each in (ours, floors))
            what = f"step time, Torch, watched, 16 tiles {kind.edge} px {kind.pixels}, {name}"
            found.append(Budget(what, limit, value, "%", missing, floor))
    return found


def middle(values: Sequence[float]) -> float:
    """Return the median of the calls of one round."""
    return percentile(values, 0.5)
