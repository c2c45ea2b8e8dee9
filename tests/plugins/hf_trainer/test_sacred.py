"""Training is sacred: with the Hugging Face Trainer, too, all is the same to the last bit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("grpc")
pytest.importorskip("transformers", reason="no hf_trainer found: transformers is not installed")

from stack import Stack, eventually, kill, lines, relay_of, stack
from trainmon.cli.children import Child
from viewer import viewer
from watching import watch_all_to_the_end

HERE = Path(__file__).parent
NOWHERE = "127.0.0.1:9"
PATIENCE_S = 150
BATCHES, UPDATES = 60, 30

pytestmark = pytest.mark.timeout(400)


def _start(processes: Stack, monitor: str, folder: Path, *arguments: str) -> Child:
    folder.mkdir(exist_ok=True)
    child = processes.start(
        "training",
        [sys.executable, str(HERE / "sacred.py"), str(folder), *arguments],
        TRAINMON_MONITOR=monitor,
        PYTHONPATH=str(HERE),
        OMP_NUM_THREADS="1",
        # So that nothing but the line in the script attaches.
        TRAINMON_DISABLE_PLUGINS="hf_trainer" if "alone" in arguments else "",
    )
    child.pass_on(sys.stderr)
    return child


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the training writes without trainmon."""
    folder = tmp_path_factory.mktemp("alone")
    with stack(folder / "home") as processes:
        assert _start(processes, NOWHERE, folder, "alone").wait(PATIENCE_S) == 0
    return (folder / "losses").read_text()


def test_the_log_is_whole(alone: str) -> None:
    """What the others are compared with has every batch, and the weights of both models."""
    assert len(alone.splitlines()) == BATCHES + UPDATES + 2
    assert " 0 graphs " not in alone.splitlines()[-1]


def test_watched(processes: Stack, tmp_path: Path, alone: str) -> None:
    """Who asks for 60 frames a second of each model changes nothing, nor the number of graphs."""
    _, address = processes.monitor()
    training = _start(processes, address, tmp_path / "watched")
    with viewer(address) as seen:
        steps = watch_all_to_the_end(seen, training, PATIENCE_S)
    assert len(steps) == 2
    assert all(steps.values()), "pictures of both, the plain and the compiled"
    assert (tmp_path / "watched" / "losses").read_text() == alone


def test_nobody_there(processes: Stack, tmp_path: Path, alone: str) -> None:
    """Nor does it that there is no monitor."""
    assert _start(processes, NOWHERE, tmp_path / "nobody").wait(PATIENCE_S) == 0
    assert (tmp_path / "nobody" / "losses").read_text() == alone


@pytest.mark.parametrize("victim", ["monitor", "relay"])
def test_killed(processes: Stack, tmp_path: Path, alone: str, victim: str) -> None:
    """Nor that monitor or relay are killed in mid-run."""
    monitor, address = processes.monitor()
    training = _start(processes, address, tmp_path / victim)
    log = tmp_path / victim / "losses"
    eventually(lambda: lines(log), "10 steps", PATIENCE_S, lambda count: count >= 10)
    kill(monitor.pid if victim == "monitor" else relay_of(training).pid)
    assert training.wait(PATIENCE_S) == 0
    assert log.read_text() == alone
