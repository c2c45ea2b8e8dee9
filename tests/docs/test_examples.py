"""The examples run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(example: Path, tmp_path: Path) -> None:
    """Each trains a few steps, with warnings as errors and no monitor anywhere."""
    environment = {
        **os.environ,
        "TRAINMON_MONITOR": "127.0.0.1:9",  # the discard port: nobody listens
        "TRAINMON_EXIT_TIMEOUT": "0",
        "TRAINMON_RELAY_LINGER": "0",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example), "--steps", "5"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot" not in done.stderr, "something of a batch could not be read"
