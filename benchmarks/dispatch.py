"""What it costs to call plugins, beside bare pluggy in the same run.

A guarded hook does what a bare one does not: it outlives what a plugin raises. The limit for an
adapter's hook, which runs on the training's thread, is 2 µs a call.
"""

from __future__ import annotations

import platform
import statistics
import timeit
from collections.abc import Callable
from importlib.metadata import version

import pluggy

from trainmon import hookspecs
from trainmon.config import Settings
from trainmon.manager import PluginManager
from trainmon.plugin import PROJECT_NAME, hookimpl

CALLS = 20_000
ROUNDS = 15
PLUGINS = (0, 1, 3, 10)


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
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    print(f"hook dispatch, µs a call, median of {ROUNDS} ({machine}, pluggy {version('pluggy')})")
    print("| observer hook | bare pluggy | trainmon |\n|---|---|---|")
    for count in PLUGINS:
        manager = ours(count)
        costs = median_us([bare(count), lambda manager=manager: manager.batch_ended(None, None)])
        print(f"| {count} plugins | {costs[0]:.2f} | {costs[1]:.2f} |")
    manager, plugin = ours(3), Plugin()
    own, missing, plain = median_us(
        [
            lambda: manager.collect_batch("1", None, None),
            lambda: manager.collect_batch("missing", None, None),
            lambda: plugin.trainmon_collect_batch(None, None),
        ]
    )
    print("\n| adapter hook, 3 plugins | plain method | trainmon | limit |\n|---|---|---|---|")
    print(f"| own adapter | {plain:.2f} | {own:.2f} | 2 |")
    print(f"| no such adapter | {plain:.2f} | {missing:.2f} | 2 |")


if __name__ == "__main__":
    main()
