"""A plugin that says who may call, and does not run: nobody is let in without it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from trainmon.config import Settings
from trainmon.errors import PluginError
from trainmon.manager import PluginManager
from trainmon.monitor.server import MonitorServer

GUARD = """
from trainmon.plugin import Caller, hookimpl

@hookimpl
def trainmon_authenticate(metadata{more}):
    return Caller("friend")
"""
BROKEN = {
    "import fails": "import a_module_that_is_nowhere\n" + GUARD.format(more=""),
    "no contract of ours": GUARD.format(more=", password"),
    "needs a newer trainmon": "trainmon_hookspec_version = 99\n" + GUARD.format(more=""),
}


def met() -> PluginManager:
    """Return a monitor's plugins, as installed."""
    manager = PluginManager(Settings.from_environment(), "monitor")
    manager.discover()
    return manager


@pytest.mark.parametrize("source", BROKEN.values(), ids=BROKEN.keys())
async def test_a_monitor_does_not_start_without_its_guard(install, source):
    """Whatever keeps it from running, the error names it, and what to do."""
    install("guard", source)
    with pytest.raises(PluginError, match=r"guard: .*TRAINMON_DISABLE_PLUGINS=guard"):
        await MonitorServer(plugins=met()).__aenter__()


async def test_a_plugin_whose_code_is_gone_may_have_been_a_guard(install):
    """Of what nobody can read, nobody can tell."""
    install("guard", "", entry="gone_since:plugin")
    with pytest.raises(PluginError, match="guard: ModuleNotFoundError"):
        await MonitorServer(plugins=met()).__aenter__()


async def test_another_plugin_that_is_broken_stops_no_monitor(install):
    """Where the code of a broken plugin names no such hook, the monitor starts without it."""
    install("tracker", "import a_module_that_is_nowhere\n")
    async with MonitorServer(plugins=met()) as server:
        assert server.port


async def test_a_guard_that_is_disabled_on_purpose_is_not_missed(install, monkeypatch):
    """Whoever disables it says that it is not wanted."""
    install("guard", BROKEN["import fails"])
    monkeypatch.setenv("TRAINMON_DISABLE_PLUGINS", "guard")
    async with MonitorServer(plugins=met()) as server:
        assert server.port


async def test_a_guard_that_runs_is_not_missed(install):
    """And one that works lets the monitor start."""
    install("guard", GUARD.format(more=""))
    plugins = met()
    assert plugins.requires_authentication
    async with MonitorServer(plugins=plugins) as server:
        assert server.port


def test_serve_refuses_to_start_and_says_why(install):
    """`trainmon serve` ends at once with one line that names the plugin."""
    install("guard", BROKEN["import fails"])
    command = [sys.executable, "-m", "trainmon.cli", "serve", "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        out, errors = process.communicate(timeout=50)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert process.returncode == 1
    assert out == ""
    assert "Error: a plugin that may say who may call" in errors
    assert "guard: ModuleNotFoundError" in errors
