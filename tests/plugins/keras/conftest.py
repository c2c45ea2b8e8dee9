"""Trainings in Keras, one process for each backend, and what a monitor was told of them."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stack import stack
from trainmon.cli.children import Child
from trainmon.v1.dashboard_pb2 import GetBatchRequest, SessionSnapshot, SessionSummary
from trainmon.v1.telemetry_pb2 import BatchData
from viewer import Viewer, viewer

HERE = Path(__file__).parent
BACKENDS = ("tensorflow", "jax", "torch")
#: JAX and TensorFlow compile the step of every fit.
PATIENCE_S = 480


def keras_environment(backend: str, monitor: str) -> dict[str, str]:
    """Return what a training in Keras runs under."""
    return {
        "KERAS_BACKEND": backend,
        "TRAINMON_MONITOR": monitor,
        "TRAINMON_EXIT_TIMEOUT": "20",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(HERE),
    }


@dataclass
class Told:
    """What a monitor was told of one backend's scripts, and what these say of themselves."""

    backend: str
    facts: dict[str, Any]
    log: str
    seen: Viewer

    def fact(self, name: str) -> Any:
        """Return what a script says of itself; it has not failed."""
        fact = self.facts[name]
        assert "error" not in fact, fact["error"]
        return fact["told"]

    def summary(self, name: str) -> SessionSummary:
        """Return the one session of a script."""
        (found,) = self.summaries(name)
        return found

    def summaries(self, name: str) -> list[SessionSummary]:
        """Return the sessions of a script, the oldest first."""
        self.fact(name)
        found = [each for each in self.seen.sessions() if each.session_name == name]
        return sorted(found, key=lambda each: each.started_ms)

    def snapshot(self, name: str) -> SessionSnapshot:
        """Return the session of a script as it is at the end."""
        return self.seen.snapshot(self.summary(name).session_id)

    def notes(self, name: str) -> str:
        """Return what people are told of a run."""
        return "\n".join(self.snapshot(name).notes)

    def batch(self, name: str, step: int = 0) -> BatchData:
        """Return the stored picture nearest a step."""
        request = GetBatchRequest(session_id=self.summary(name).session_id, step=step)
        return self.seen._stub.GetBatch(request, timeout=10).batch_data

    def values(self, name: str, series: str) -> list[float]:
        """Return every value of a series."""
        found = self.seen.metrics(self.summary(name).session_id, series)
        return list(found[series].values)


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend that is there."""
    for module in ("keras", request.param):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"no keras found: {module} is not installed")
    return request.param


@contextmanager
def _told(folder: Path, backend: str, *names: str) -> Iterator[Told]:
    with stack(folder / "home") as processes:
        _, address = processes.monitor()
        environment = keras_environment(backend, address)
        command = [sys.executable, str(HERE / "scripts"), str(folder), *names]
        child = processes.start(
            "scripts", command, **environment, TRAINMON_KEY_FRAME_INTERVAL="0.1"
        )
        log = folder / "log"
        with log.open("w") as file:
            child.pass_on(file)
            assert child.wait(PATIENCE_S) == 0, log.read_text()[-4000:]
        facts = json.loads((folder / "facts.json").read_text())
        with viewer(address) as seen:
            yield Told(backend, facts, log.read_text(), seen)


@pytest.fixture(scope="session")
def told(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Every script run on a backend, in one process, and the monitor it told."""
    with _told(tmp_path_factory.mktemp(backend), backend) as told:
        yield told


@pytest.fixture(scope="session")
def restored(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Likewise, of those that go on from a backup."""
    with _told(tmp_path_factory.mktemp(f"{backend}-backups"), backend, "backups") as told:
        yield told


@contextmanager
def _training(
    folder: Path, backend: str, script: str, *arguments: str, **environment: str
) -> Iterator[tuple[Child, Viewer]]:
    with stack(folder / "home") as processes:
        _, address = processes.monitor()
        command = [sys.executable, str(HERE / script), *arguments]
        wanted = {**keras_environment(backend, address), **environment}
        child = processes.start("training", command, **wanted)
        child.pass_on(sys.stderr)
        with viewer(address) as seen:
            yield child, seen


@pytest.fixture(scope="session")
def trainings() -> Any:
    """Start a script, with a monitor that is told of it: give both."""
    return _training
