"""Training is sacred: with Keras, too, every loss and weight is the same to the last bit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stack import Stack, eventually, kill, lines, relay_of, stack
from trainmon.cli.children import Child
from viewer import viewer
from watching import watch_all_to_the_end

HERE = Path(__file__).parent
NOWHERE = "127.0.0.1:9"
PATIENCE_S = 300
EPOCHS, BATCHES = 3, 12

pytestmark = pytest.mark.timeout(700)  # three frameworks, and compilers, on busy machines


def _start(processes: Stack, backend: str, monitor: str, folder: Path, *arguments: str) -> Child:
    folder.mkdir(exist_ok=True)
    environment = {
        "KERAS_BACKEND": backend,
        "TRAINMON_MONITOR": monitor,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OMP_NUM_THREADS": "1",
        "TF_DETERMINISTIC_OPS": "0",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        "TRAINMON_DISABLE_PLUGINS": "keras" if "alone" in arguments else "",
    }
    command = [sys.executable, str(HERE / "sacred.py"), str(folder), *arguments]
    child = processes.start("training", command, **environment)
    child.pass_on(sys.stderr)
    return child


@pytest.fixture(scope="module")
def alone(backend: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the training writes without trainmon."""
    folder = tmp_path_factory.mktemp("alone")
    with stack(folder / "home") as processes:
        assert _start(processes, backend, NOWHERE, folder, "alone").wait(PATIENCE_S) == 0
    return (folder / "losses").read_text().splitlines()


def _same(folder: Path, alone: list[str]) -> None:
    """Compare all, the counts of traces or compiled graphs among it."""
    assert (folder / "losses").read_text().splitlines() == alone


def test_the_log_is_whole(backend: str, alone: list[str]) -> None:
    """What the others are compared with has every batch of every model, and their weights."""
    models = 1 if backend == "jax" else 2
    assert len([line for line in alone if line.startswith("0x")]) == models * EPOCHS * BATCHES
    assert len([line for line in alone if len(line) == 64]) == models


def test_nobody_there(processes: Stack, backend: str, alone: list[str], tmp_path: Path) -> None:
    """With no monitor at all."""
    assert _start(processes, backend, NOWHERE, tmp_path).wait(PATIENCE_S) == 0
    _same(tmp_path, alone)


def test_watched(processes: Stack, backend: str, alone: list[str], tmp_path: Path) -> None:
    """At 60 frames a second; and the page that opens in mid-run compiles nothing anew."""
    _, address = processes.monitor()
    training = _start(processes, backend, address, tmp_path)
    eventually(lambda: lines(tmp_path / "losses"), "steps", PATIENCE_S, lambda n: n >= 5)
    with viewer(address) as seen:
        steps = watch_all_to_the_end(seen, training, PATIENCE_S)
    _same(tmp_path, alone)
    assert len(steps) == (1 if backend == "jax" else 2)
    assert all(steps.values()), "pictures of each model, plain and compiled"


def test_the_monitor_is_killed(
    processes: Stack, backend: str, alone: list[str], tmp_path: Path
) -> None:
    """In mid-run."""
    monitor, address = processes.monitor()
    training = _start(processes, backend, address, tmp_path)
    eventually(lambda: lines(tmp_path / "losses"), "steps", PATIENCE_S, lambda n: n >= 8)
    kill(monitor.pid)
    assert training.wait(PATIENCE_S) == 0
    _same(tmp_path, alone)


def test_the_relay_is_killed(
    processes: Stack, backend: str, alone: list[str], tmp_path: Path
) -> None:
    """In mid-run."""
    _, address = processes.monitor()
    training = _start(processes, backend, address, tmp_path)
    eventually(lambda: lines(tmp_path / "losses"), "steps", PATIENCE_S, lambda n: n >= 8)
    kill(relay_of(training).pid)
    assert training.wait(PATIENCE_S) == 0
    _same(tmp_path, alone)
