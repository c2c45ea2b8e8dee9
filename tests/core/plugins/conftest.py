"""Plugins as strangers install them, and managers that meet them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trainmon.channel.records import StepRecord
from trainmon.config import Settings
from trainmon.events import SessionInfo
from trainmon.manager import PluginManager, PluginRow
from trainmon.testing import trainmon_plugins

__all__ = ["trainmon_plugins"]  # a fixture, found here by pytest

THIRD_PARTY = Path(__file__).parents[2] / "fixtures" / "third_party"

Install = Callable[..., None]


@pytest.fixture
def session() -> SessionInfo:
    return SessionInfo("run", "process", session_name="digits")


@pytest.fixture
def step() -> StepRecord:
    return StepRecord(global_step=7, epoch=0, batch_index=7, time_ms=0.0, loss=0.5)


@pytest.fixture
def home() -> Path:
    """The isolated TRAINMON_HOME of this test."""
    return Path(os.environ["TRAINMON_HOME"])


@pytest.fixture
def manager(home: Path) -> PluginManager:
    """An observer's manager, as a relay has it, that has met no plugin yet."""
    return PluginManager(Settings.from_environment(), "relay", home / "plugins")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution with one module and one entry point, as pip would lay it out."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    modules: list[str] = []

    def lay_out(name: str, source: str, entry: str = "{module}", plugin: str | None = None) -> None:
        module = name.replace("-", "_")
        modules.append(module)
        (site / f"{module}.py").write_text(source, encoding="utf-8")
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        target = entry.format(module=module)
        (info / "entry_points.txt").write_text(f"[trainmon]\n{plugin or name} = {target}\n")

    yield lay_out
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The stranger's package lies on the path, of this process and of those it starts."""
    monkeypatch.syspath_prepend(str(THIRD_PARTY))
    monkeypatch.setenv("PYTHONPATH", str(THIRD_PARTY))
    yield
    sys.modules.pop("acme_tracker", None)


@pytest.fixture
def trainmon_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``trainmon`` in a process of its own."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "trainmon.cli", *arguments],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    return run


@pytest.fixture
def row() -> Callable[[PluginManager, str], PluginRow]:
    """Return the one row of a plugin."""

    def find(manager: PluginManager, name: str) -> PluginRow:
        (found,) = [each for each in manager.rows() if each.name == name]
        return found

    return find
