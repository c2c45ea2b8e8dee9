"""What every start of Python pays where ``TRAINMON_MONITOR`` is set, beside another way to hook in.

Python alone, with the variable; then the first import from outside the standard library, which
brings the search for plugins; wrapt's post-import hooks are what else would do the work.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec

from common.report import machine, publish, table

ROUNDS = 20
#: A library that is small and of no framework.
LIBRARY = "import pip"
CASES = {
    "Python alone": ("pass", False),
    "with the variable": ("pass", True),
    "Python and a library": (LIBRARY, False),
    "with the variable, and so the search": (LIBRARY, True),
    "importing wrapt instead": ("import wrapt", False),
}


def start(code: str, monitor: bool) -> float:
    """Return how long a Python takes that runs some code, in ms."""
    environment = {key: value for key, value in os.environ.items() if key != "TRAINMON_MONITOR"}
    if monitor:
        environment["TRAINMON_MONITOR"] = "127.0.0.1:9"
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return (time.perf_counter() - started) * 1e3


def main() -> None:
    """Measure and print a table."""
    cases = dict(CASES)
    if find_spec("wrapt") is None:
        del cases["importing wrapt instead"]
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            taken[name].append(start(*case))
    first = statistics.median(taken["Python alone"])
    rows = [
        (
            name,
            f"{statistics.median(each):.1f} ({min(each):.1f}–{max(each):.1f})",
            f"{statistics.median(each) - first:+.1f}",
        )
        for name, each in taken.items()
    ]
    publish(
        "start_time",
        f"Milliseconds from start to end of a process, medians of {ROUNDS} (least–greatest):",
        table(("", "ms", "to Python alone"), rows),
        machine("trainmon"),
    )


if __name__ == "__main__":
    main()
