"""What trainmon gives to the tests of plugins."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trainmon.manager import HOOKS, get_manager
from trainmon.testing import HookCall, IsolatedPluginManager, RecordingPlugin


def test_an_isolated_manager_refuses_discovery(acme, caplog):
    """What is installed does not leak into a test, and the log says why."""
    manager = IsolatedPluginManager()
    manager.discover()
    assert not manager.load("acme")
    assert manager.rows() == []
    assert "installed plugins are not loaded in a test" in caplog.text


def test_the_fixtures_manager_is_the_process_wide_one(trainmon_plugins):
    """Code under test that asks for the process' manager gets the test's."""
    assert get_manager() is trainmon_plugins


def test_a_recording_plugin_notes_every_hook(trainmon_plugins, session):
    """It implements each hook but the one that would lock callers out, and answers as told."""
    recorder = RecordingPlugin({"trainmon_open_store": "store"})
    trainmon_plugins.register(recorder, "recorder")
    (row,) = trainmon_plugins.rows()
    assert set(row.hooks) == set(HOOKS) - {"trainmon_authenticate"}
    assert trainmon_plugins.open_store("memory:") == "store"
    trainmon_plugins.session_started(session)
    assert recorder.calls == [
        HookCall("trainmon_open_store", {"url": "memory:"}),
        HookCall("trainmon_session_started", {"session": session}),
    ]
    assert recorder.of("trainmon_session_started") == [{"session": session}]


def test_what_a_plugin_raised_fails_its_test():
    """The manager catches it, so the check at the end of the test shows it."""
    manager = IsolatedPluginManager()
    manager.register(RecordingPlugin({"trainmon_cli": ValueError("boom")}), "bad")
    manager.cli(None)
    with pytest.raises(AssertionError, match=r"bad: Traceback(.|\n)*ValueError: boom"):
        manager.check()
    manager.failures_expected = True
    manager.check()


def test_a_plugin_author_uses_it(tmp_path):
    """A stranger's pytest loads the fixture by name, and a failing hook fails its test."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["trainmon.testing"]\n')
    (tmp_path / "test_alarm.py").write_text(
        "from trainmon.plugin import hookimpl\n"
        "class Alarm:\n"
        "    @hookimpl\n"
        "    def trainmon_cli(self, group):\n"
        "        assert group\n"
        "def test_works(trainmon_plugins):\n"
        "    trainmon_plugins.register(Alarm(), 'alarm')\n"
        "    trainmon_plugins.cli('group')\n"
        "def test_fails(trainmon_plugins):\n"
        "    trainmon_plugins.register(Alarm(), 'alarm')\n"
        "    trainmon_plugins.cli(None)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert "2 passed, 1 error" in answer.stdout
    assert "ERROR test_alarm.py::test_fails" in answer.stdout


def test_a_strangers_pytest_is_not_slowed():
    """Nothing of trainmon is registered with pytest: who does not ask loads none of it."""
    from importlib.metadata import entry_points

    assert not [each for each in entry_points(group="pytest11") if "trainmon" in each.value]
