"""What it costs to call plugins, beside bare pluggy in the same run.

A guarded hook does what a bare one does not: it outlives what a plugin raises. The limit for an
adapter's hook, which runs on the training's thread, is 2 µs a call.
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable

import pluggy
from common.report import machine, publish, table

from trainmon import hookspecs
from trainmon.config import Settings
from trainmon.manager import PluginManager
from trainmon.plugin import PROJECT_NAME, hookimpl

CALLS = 20_000
ROUNDS = 15
PLUGINS = (0, 1, 3, 10)
LIMIT_US = 2


class Plugin:
    """Answers at once, so that only the way to it is measured."""

    @hookimpl
    def trainmon_batch_ended(self, session: object, batch: object) -> None:
        """Do nothing."""

    @hookimpl
    def trainmon_collect_batch(self, session: object, raw: object) -> object:
        """Return something."""
        return session or raw


def bare(plugins: int) -> Callable[[], object]:
    """Return a call of an observer's hook through pluggy alone."""
    manager = pluggy.PluginManager(PROJECT_NAME)
    manager.add_hookspecs(hookspecs)
    for number in range(plugins):
        manager.register(Plugin(), str(number))
    hook = manager.hook
    return lambda: hook.trainmon_batch_ended(session=None, batch=None)


def ours(plugins: int) -> PluginManager:
    """Return a manager with so many plugins."""
    manager = PluginManager(Settings())
    for number in range(plugins):
        manager.register(Plugin(), str(number))
    return manager


def median_us(calls: list[Callable[[], object]]) -> list[float]:
    """Return the median cost of each call in µs; in turn, so that all see the same machine."""
    rounds = [
        [timeit.timeit(call, number=CALLS) / CALLS * 1e6 for call in calls] for _ in range(ROUNDS)
    ]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def main() -> None:
    """Measure and print a table."""
    rows = []
    for count in PLUGINS:
        manager = ours(count)
        costs = median_us([bare(count), lambda manager=manager: manager.batch_ended(None, None)])
        rows.append((f"{count} plugins", f"{costs[0]:.2f}", f"{costs[1]:.2f}"))
    manager, plugin = ours(3), Plugin()
    own, missing, plain = median_us(
        [
            lambda: manager.collect_batch("1", None, None),
            lambda: manager.collect_batch("missing", None, None),
            lambda: plugin.trainmon_collect_batch(None, None),
        ]
    )
    publish(
        "dispatch",
        f"Calling plugins, µs a call, medians of {ROUNDS}:",
        table(("observer hook", "bare pluggy", "trainmon"), rows),
        table(
            ("adapter hook, 3 plugins", "plain method", "trainmon", "limit", ""),
            [
                (name, f"{plain:.2f}", f"{cost:.2f}", LIMIT_US, _verdict(cost))
                for name, cost in (("own adapter", own), ("no such adapter", missing))
            ],
        ),
        machine("trainmon", "pluggy"),
    )


def _verdict(cost: float) -> str:
    return "met" if cost <= LIMIT_US else f"**missed** by {cost - LIMIT_US:.2f}"


if __name__ == "__main__":
    main()
