"""Trainings of the contract suite: a driver's process, its monitor, and a viewer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from contract import Plan, command, read_log
from stack import eventually, stack
from trainmon.cli.children import Child
from viewer import Viewer, viewer

__all__ = ["DRIVERS", "PATIENCE_S", "Training", "started"]

SUITE = Path(__file__).parents[1] / "contract"
DRIVERS = SUITE / "drivers"
#: A framework takes its time to be imported, the more so on a busy machine.
PATIENCE_S = 120


@dataclass
class Training:
    """One training of one driver, and who watches it."""

    driver: ModuleType
    plan: Plan
    child: Child
    seen: Viewer
    diary: Path

    def log(self, event: str = "") -> list[dict]:
        """What the framework really did, so far."""
        return read_log(self.plan, event)

    def observed(self) -> list[list[str]]:
        """What an observer plugin in the relays was told, in order."""
        text = self.diary.read_text() if self.diary.exists() else ""
        return [line.split() for line in text.splitlines()]

    def batches(self, at_least: int) -> list[dict]:
        """The batches so far, once there are enough."""
        return eventually(
            lambda: self.log("batch"),
            f"{at_least} batches",
            PATIENCE_S,
            lambda batches: len(batches) >= at_least,
        )


@contextmanager
def started(driver: ModuleType, folder: Path, **wanted: object) -> Iterator[Training]:
    """Start a training and a monitor for it."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(folder=str(folder), **wanted)
    with stack(folder / "home") as processes:
        _, address = processes.monitor()
        diary = folder / "diary"
        script = command(Path(str(driver.__file__)), plan)
        child = processes.start("driver", script, **environment(address, diary))
        child.pass_on(sys.stderr)
        with viewer(address) as seen:
            yield Training(driver, plan, child, seen, diary)


def environment(monitor: str, diary: Path) -> dict[str, str]:
    """What a driver runs under."""
    paths = (
        str(SUITE.parent / "support"),
        str(SUITE / "observer"),
        os.environ.get("PYTHONPATH", ""),
    )
    return {
        "TRAINMON_MONITOR": monitor,
        "TRAINMON_EXIT_TIMEOUT": "20",
        "CONTRACT_DIARY": str(diary),
        "PYTHONPATH": os.pathsep.join(filter(None, map(str, paths))),
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
