"""The tools of the contract, in environments of their own, made where they are not there yet."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command and return what became of it, its two outputs as one."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def succeed(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command that must succeed and return its output."""
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="session", name="run")
def run_fixture():
    """Return the function that runs a command."""
    return run


@pytest.fixture(scope="session", name="succeed")
def succeed_fixture():
    """Return the function that runs a command that must succeed."""
    return succeed


@pytest.fixture(scope="session")
def node_tools() -> Path:
    """Return the folder of the tools that npm installs for the dashboard."""
    if shutil.which("npm") is None:
        pytest.skip("no node found: npm installs the contract's tools")
    tools = ROOT / "web/node_modules/.bin"
    if not (tools / "buf").exists():
        succeed("npm", "ci", cwd=ROOT / "web")
    return tools


@pytest.fixture(scope="session")
def generator(node_tools: Path) -> Path:
    """Return the interpreter of the environment that generates code."""
    done = run("make", ".venv-generate/.tools")
    if "needs Python 3.10, 3.11 or 3.12" in done.stdout:
        pytest.skip("no Python from 3.10 to 3.12 found, for which alone the generator has wheels")
    assert done.returncode == 0, done.stdout
    return ROOT / ".venv-generate/bin/python"
