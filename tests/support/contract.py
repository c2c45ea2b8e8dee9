"""What the contract suite and the trainings it starts have in common: the plan, and the log.

A driver (``tests/contract/drivers/NAME.py``) trains a small model with one framework, in a process
of its own, as ``tests/contract/README.md`` says. It tells this module's log what *really* happened,
by the framework's own account; the suite compares it with what the monitor was told.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil

__all__ = ["LINE", "NOTHING", "Driver", "Log", "Plan", "command", "driver", "main", "read_log"]

#: Ways in: a line in the script (a callback, or ``start_session``); nothing but the environment.
LINE, NOTHING = "line", "nothing"


@dataclass(frozen=True)
class Plan:
    """What a driver is to train."""

    folder: str
    """Where the log is written, and whatever the training writes."""
    way: str = LINE
    """LINE: the script has its line of trainmon; NOTHING: it knows nothing of trainmon."""
    fits: int = 1
    """How often ``fit`` is called on the same model; each trains ``epochs``."""
    epochs: int = 2
    batches: int = 5
    """Training batches per epoch; 4 samples each."""
    learning_rate: float = 0.5
    """Of plain SGD without momentum or schedule. A power of two, so that float32 holds it."""
    pace_s: float = 0.0
    """How long the log waits after each batch."""
    fail_at: int | None = None
    """The batch, counted over all fits, whose :meth:`Log.batch` raises ValueError."""
    session: dict[str, Any] = field(default_factory=dict)
    """What the line says: ``name`` and ``class_names``, where the adapter takes them."""


class Log:
    """Where the training says what it does. A line is on disk before the call returns.

    Args:
        plan: What is trained.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._file = (Path(plan.folder) / "log").open("a", encoding="utf-8")
        self._batches = 0
        self.turned: dict[str, float] = {}

    def batch(
        self,
        *,
        epoch: int,
        batch: int,
        loss: float | None,
        learning_rate: float,
        knob: float | None = None,
    ) -> None:
        """A training batch was trained. Call it from the user's side: a callback, or the loop.

        Args:
            epoch: Of this fit, from 0, as the framework counts.
            batch: Within the epoch, from 0, as the framework counts.
            loss: Of the batch, unscaled; None: the framework does not say.
            learning_rate: With which this batch was trained, as the optimizer holds it.
            knob: What the driver's ``KNOB`` was, as the framework holds it; None: it has none.

        Raises:
            ValueError: The plan says that this batch fails.
        """
        told = {"epoch": epoch, "batch": batch, "loss": loss, "rate": learning_rate, "knob": knob}
        self._write("batch", step=self._batches, **told)
        self._batches += 1
        if self._batches - 1 == self._plan.fail_at:
            raise ValueError("bad batch")
        time.sleep(self._plan.pace_s)

    def evaluated(self) -> None:
        """The whole evaluation set was gone through."""
        self._write("evaluated")

    def checkpoint(self, path: Path | str) -> None:
        """A checkpoint was written. Only where the script itself is asked to write one."""
        self._write("checkpoint", path=str(path))

    def knob(self, name: str) -> tuple[Callable[[float], None], Callable[[], float]]:
        """Return ``set`` and ``get`` of a control of the user's own, which adds up what it is told.

        So a command that is carried out twice shows.
        """

        def add(value: float) -> None:
            self.turned[name] = self.turned.get(name, 0.0) + value
            self._write("turned", knob=name, value=value, batches=self._batches)

        return add, lambda: self.turned.get(name, 0.0)

    def fit_ended(self) -> None:
        """A fit has returned, and all that it held was dropped."""
        gc.collect()
        process = psutil.Process()
        self._write(
            "fit_ended",
            threads=[each.name for each in threading.enumerate()],
            descriptors=process.num_fds(),
            relays=sum(_is_relay(each) for each in process.children()),
        )

    def _write(self, event: str, **fields: Any) -> None:
        self._file.write(json.dumps({"event": event, **fields}) + "\n")
        self._file.flush()


class Driver(Protocol):
    """What a module in ``tests/contract/drivers/`` has."""

    PART: str
    """Row of ``PARTS`` in tests/conftest.py, so that its absence can be made a failure."""
    NEEDS: tuple[str, ...]
    """Modules without which the driver cannot run; the suite skips it where one is absent."""
    FRAMEWORK: str
    """What the page shows as the framework."""
    WAYS: tuple[str, ...]
    """Of LINE and NOTHING, those it has."""
    CONTROLS: frozenset[str]
    """Of ``learning_rate``, ``save_checkpoint`` and ``evaluate``, those it must carry out; the
    others it must refuse, with a reason."""
    SAMPLES: bool
    """Whether pictures, predictions and truth are shown."""
    KNOB: str
    """A knob of the framework's own that the adapter offers; empty: it offers none."""

    @staticmethod
    def train(plan: Plan, log: Log) -> Callable[[], object]:
        """Train as planned; return what ends the adapter once more, as the framework ends it."""


def main(train: Callable[[Plan, Log], Callable[[], object]]) -> None:
    """Run a driver as a script: ``python driver.py PLAN``, the plan as JSON."""
    # A driver may bear its framework's name, and its folder comes first on the path.
    folder = Path(sys.argv[0]).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != folder]
    plan = Plan(**json.loads(sys.argv[1]))
    log = Log(plan)
    end_again = train(plan, log)
    end_again()
    end_again()
    log._write("returned")


def driver(name: str) -> Any:
    """Return another driver, for one that trains as it does."""
    path = Path(sys.argv[0]).resolve().with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"driver_of_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    return other


def command(driver: Path, plan: Plan) -> list[str]:
    """Return the command that trains a plan."""
    return [sys.executable, str(driver), json.dumps(asdict(plan))]


def read_log(plan: Plan, event: str = "") -> list[dict[str, Any]]:
    """Return what a training has said so far, of one kind or all; a line under way is left out."""
    path = Path(plan.folder) / "log"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in lines if event in ("", line["event"])]


def _is_relay(process: psutil.Process) -> bool:
    try:
        dead = process.status() == psutil.STATUS_ZOMBIE
        return not dead and "trainmon.relay" in process.cmdline()
    except (psutil.Error, OSError):
        return False
