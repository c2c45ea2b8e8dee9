"""A framework and its plugin as strangers install them, and scripts that know neither."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FRAMEWORK = "state = 'imported'\nattached = 0\n"
PLUGIN = """
from trainmon.plugin import hookimpl

@hookimpl
def trainmon_instrument():
    import sys
    framework = sys.modules["acme.trainer"]
    framework.attached += 1
"""
ENTRIES = "[trainmon]\nacme = acme_plugin\n[trainmon.instruments]\nacme.trainer = acme_plugin\n"

Script = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the framework `acme`, and a plugin that waits for its module `acme.trainer`."""
    site = tmp_path / "site"
    (site / "acme").mkdir(parents=True)
    (site / "acme" / "__init__.py").touch()
    (site / "acme" / "trainer.py").write_text(FRAMEWORK)
    (site / "acme_plugin.py").write_text(PLUGIN)
    information = site / "acme_plugin-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-plugin\nVersion: 1.0\n"
    )
    (information / "entry_points.txt").write_text(ENTRIES)
    return site


@pytest.fixture
def script(site: Path, tmp_path: Path) -> Script:
    """Return what runs a script with a monitor's address set, unless told otherwise."""

    def run(text: str, *, monitor: str = "127.0.0.1:9", **environment: str):
        path = tmp_path / "script.py"
        path.write_text(text)
        named = {"TRAINMON_MONITOR": monitor} if monitor else {}
        return subprocess.run(
            [sys.executable, str(path)],
            env={**os.environ, "PYTHONPATH": str(site), **named, **environment},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    return run
