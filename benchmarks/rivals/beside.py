"""Rivals in environments of their own, measured in turn with us."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.orders import Worker, WorkerError
from common.report import percentile

__all__ = ["CASES", "NAMES", "Rival", "rivals"]

NAMES = {
    "trackio": "Trackio",
    "tensorboard": "TensorBoard",
    "rerun": "Rerun",
    "aim": "Aim",
    "wandb": "W&B offline",
}
#: Edge and kind of the tiles; 0: five scalars alone.
CASES = (
    (0, "uint8"),
    (64, "uint8"),
    (128, "uint8"),
    (256, "uint8"),
    (512, "uint8"),
    (256, "float32"),
)
_SCALAR_STEPS, _PICTURE_STEPS = 150, 40
#: Some take a third of a second for a step with pictures: few steps have to do.
_LIMIT_S = 0.8
_INSTALL_S = 900
_HERE = Path(__file__).parent
_ENVIRONMENTS = _HERE.parent.parent / ".venv-bench"


@dataclass
class Found:
    """What one kind of logging has cost, round by round."""

    times_ms: list[list[float]] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    """Per step, of all the tool's processes."""

    def per_round(self, part: float) -> list[float]:
        """Return a percentile of the calls of each round, in ms."""
        return [percentile(times, part) for times in self.times_ms]


class Rival:
    """A tool that logs the same.

    Args:
        name: Of its requirements and of its runner.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.title = NAMES[name]
        self.version = ""
        self.missing = ""
        """Why it cannot be measured."""
        self.found = {case: Found() for case in CASES}
        self._python = _ENVIRONMENTS / name / "bin" / "python"

    def install(self, note: Callable[[str], None]) -> None:
        """Make its environment, unless it is there; note where that cannot be done, and why."""
        wanted = _HERE / "requirements" / f"{self.name}.txt"
        mark = _ENVIRONMENTS / self.name / ".installed"
        digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
        if mark.exists() and mark.read_text() == digest:
            return
        try:
            _quietly(sys.executable, "-m", "venv", "--clear", str(_ENVIRONMENTS / self.name))
            _quietly(str(self._python), "-m", "pip", "install", "--quiet",
                     "--disable-pip-version-check", "-r", str(wanted))  # fmt: skip
        except (subprocess.SubprocessError, OSError) as error:
            self.missing = "could not be installed"
            note(f"{self.title}: {getattr(error, 'stderr', '') or error}")  # has paths and hosts
            return
        mark.write_text(digest)

    def measure(self, note: Callable[[str], None]) -> None:
        """Measure every case once; note where that cannot be done, and why."""
        if self.missing:
            return
        try:
            with Worker(f"rivals.with_{self.name}", self._python) as worker:
                self.version = worker.hear()["version"]
                for case in CASES:
                    self._add(case, worker.ask(**_order(*case)))
        except WorkerError as error:
            self.missing = "failed"
            note(f"{self.title}: {error}")

    def _add(self, case: tuple[int, str], found: dict[str, Any]) -> None:
        self.found[case].times_ms.append(found["times_ms"])
        self.found[case].cpu_ms.append(found["cpu_ms"] / len(found["times_ms"]))


def rivals(note: Callable[[str], None]) -> list[Rival]:
    """Return all rivals, installed where they can be."""
    found = [Rival(name) for name in NAMES]
    for rival in found:
        note(f"{rival.title}: environment")
        rival.install(note)
    return found


def _order(edge: int, kind: str) -> dict[str, Any]:
    steps = _PICTURE_STEPS if edge else _SCALAR_STEPS
    limit_s = _LIMIT_S if edge else 60.0
    return {"edge": edge, "kind": kind, "steps": steps, "limit_s": limit_s}


def _quietly(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
