"""One manager a process, made at its first use."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from trainmon import manager as module
from trainmon._failures import FailureRecords
from trainmon.manager import PluginState, get_manager


@pytest.fixture(autouse=True)
def no_manager_yet(monkeypatch):
    """Let the test make the process' manager, and take it away again."""
    monkeypatch.setattr(module._process_wide, "manager", None)


def test_threads_get_the_same_manager(acme):
    """Whoever asks first makes it; discovery runs once."""
    barrier = threading.Barrier(8)

    def ask():
        barrier.wait()
        return get_manager("relay")

    with ThreadPoolExecutor(8) as pool:
        managers = [each.result() for each in [pool.submit(ask) for _ in range(8)]]
    assert len(set(map(id, managers))) == 1
    assert [row.name for row in managers[0].rows()].count("acme") == 1


def test_a_plugin_may_ask_for_the_manager_while_it_is_imported(install, row):
    """A plugin that calls get_manager at its import gets the one that imports it."""
    install("curious", "from trainmon.manager import get_manager\nmanager = get_manager()")
    assert row(get_manager("relay"), "curious").state is PluginState.ACTIVE


@pytest.mark.parametrize("role", ["relay", "monitor", "gateway", "cli"])
def test_installed_plugins_are_loaded(acme, role, row):
    """Outside a training every installed plugin is met at once."""
    assert row(get_manager(role), "acme").state is PluginState.ACTIVE


def test_a_training_loads_only_what_it_names(acme):
    """In a training no plugin is imported before its session names it."""
    manager = get_manager("trainer")
    assert manager.rows() == []
    assert manager.load("acme")


@pytest.mark.parametrize(("role", "kept"), [("relay", True), ("cli", False)])
def test_failures_are_kept_where_nobody_watches(install, home, role, kept):
    """A relay's failures go to TRAINMON_HOME; the command line tells its own on the spot."""
    install("broken", "import no_such_module_here")
    get_manager(role)
    names = [record.name for record in FailureRecords(home / "plugins").read()]
    assert ("broken" in names) is kept
