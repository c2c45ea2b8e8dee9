"""Running a file of trainings and reading what each of them says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def run_trainings(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a file of trainings in one process, and return what they say by their names."""

    def run(script: str) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("trainings")
        environment = {
            **os.environ,
            "TRAINMON_MONITOR": "127.0.0.1:9",  # the discard port: nobody listens
            "TRAINMON_HOME": str(folder / "home"),
            "TRAINMON_EXIT_TIMEOUT": "0",
            "TRAINMON_RELAY_LINGER": "0",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, str(Path(__file__).parent / script), str(folder)]
        subprocess.run(command, env=environment, timeout=600, check=True)
        told: dict[str, Any] = json.loads((folder / "facts.json").read_text())
        return told

    return run
