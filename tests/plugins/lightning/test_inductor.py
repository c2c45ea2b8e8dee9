"""Training is sacred under torch's own compiler: the same numbers, and nothing compiled again."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("grpc")
pytest.importorskip("lightning", reason="no lightning found: it is not installed")

from stack import Stack, eventually, lines, stack
from trainmon.cli.children import Child
from viewer import viewer
from watching import watch_to_the_end

HERE = Path(__file__).parent
NOWHERE = "127.0.0.1:9"
PATIENCE_S = 300
COMPILER = os.environ.get("CXX", "g++")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        shutil.which(COMPILER) is None,
        reason=f"torch.compile needs a compiler for C++, and there is no {COMPILER}: install one, "
        "or name it in CXX",
    ),
]


def _start(processes: Stack, monitor: str, folder: Path, cache: Path, *arguments: str) -> Child:
    folder.mkdir()
    child = processes.start(
        "training",
        [sys.executable, str(HERE / "sacred.py"), str(folder), "inductor", *arguments],
        TRAINMON_MONITOR=monitor,
        PYTHONPATH=str(HERE),
        OMP_NUM_THREADS="1",
        TORCHINDUCTOR_CACHE_DIR=str(cache),
        TORCHINDUCTOR_COMPILE_THREADS="1",
        # So that nothing but the line in the script attaches.
        TRAINMON_DISABLE_PLUGINS="lightning" if "alone" in arguments else "",
    )
    child.pass_on(sys.stderr)
    return child


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what was compiled lies, so that it is compiled once for all that is the same."""
    return tmp_path_factory.mktemp("inductor")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> str:
    """What the training writes without trainmon."""
    folder = tmp_path_factory.mktemp("alone")
    with stack(folder / "home") as processes:
        assert _start(processes, NOWHERE, folder / "run", cache, "alone").wait(PATIENCE_S) == 0
    return (folder / "run" / "losses").read_text()


def test_something_was_compiled(alone: str) -> None:
    """What the others are compared with has every batch, and graphs that were compiled."""
    assert len(alone.splitlines()) == 61
    assert "} 0 graphs " not in alone.splitlines()[-1]


def test_nobody_there(processes: Stack, tmp_path: Path, cache: Path, alone: str) -> None:
    """Losses, weights and the number of graphs are those without trainmon."""
    assert _start(processes, NOWHERE, tmp_path / "run", cache).wait(PATIENCE_S) == 0
    assert (tmp_path / "run" / "losses").read_text() == alone


def test_the_page_is_opened_in_mid_run(
    processes: Stack, tmp_path: Path, cache: Path, alone: str
) -> None:
    """A viewer who asks for 60 frames a second changes nothing, and has nothing compiled again."""
    _, address = processes.monitor()
    training = _start(processes, address, tmp_path / "run", cache)
    log = tmp_path / "run" / "losses"
    eventually(lambda: lines(log), "10 steps", PATIENCE_S, lambda count: count >= 10)
    with viewer(address) as seen:
        session = seen.session().session_id
        assert watch_to_the_end(seen, session, training, PATIENCE_S)
    assert log.read_text() == alone
