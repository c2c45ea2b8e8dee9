"""Training is sacred under torch's own compiler, with the Trainer, too."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("grpc")
pytest.importorskip("transformers", reason="no hf_trainer found: transformers is not installed")

from stack import Stack, eventually, lines
from trainmon.cli.children import Child
from viewer import viewer
from watching import watch_to_the_end

HERE = Path(__file__).parent
NOWHERE = "127.0.0.1:9"
PATIENCE_S = 300
COMPILER = os.environ.get("CXX", "g++")


def _start(processes: Stack, monitor: str, folder: Path, *arguments: str) -> Child:
    folder.mkdir()
    child = processes.start(
        "training",
        [sys.executable, str(HERE / "sacred.py"), str(folder), "inductor", *arguments],
        TRAINMON_MONITOR=monitor,
        PYTHONPATH=str(HERE),
        OMP_NUM_THREADS="1",
        TORCHINDUCTOR_CACHE_DIR=str(folder.parent / "compiled"),  # once for all that is the same
        TORCHINDUCTOR_COMPILE_THREADS="1",
        TRAINMON_DISABLE_PLUGINS="hf_trainer" if "alone" in arguments else "",
    )
    child.pass_on(sys.stderr)
    return child


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(
    shutil.which(COMPILER) is None,
    reason=f"torch.compile needs a compiler for C++, and there is no {COMPILER}: install one, "
    "or name it in CXX",
)
def test_the_page_is_opened_in_mid_run(processes: Stack, tmp_path: Path) -> None:
    """Losses, weights and the number of graphs are those of a training alone."""
    assert _start(processes, NOWHERE, tmp_path / "alone", "alone").wait(PATIENCE_S) == 0
    alone = (tmp_path / "alone" / "losses").read_text()
    assert " 0 graphs " not in alone.splitlines()[-1]
    _, address = processes.monitor()
    training = _start(processes, address, tmp_path / "watched")
    log = tmp_path / "watched" / "losses"
    eventually(lambda: lines(log), "5 updates", PATIENCE_S, lambda count: count >= 5)
    with viewer(address) as seen:
        session = seen.session().session_id
        assert watch_to_the_end(seen, session, training, PATIENCE_S)
    assert log.read_text() == alone
