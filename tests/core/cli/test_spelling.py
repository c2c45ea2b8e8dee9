"""Variables that look like settings and are none are told, once, by the commands."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from trainmon.cli import main
from trainmon.cli.children import trainmon_command
from trainmon.cli.spelling import misspelt
from trainmon.config import Settings


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TRAINMON_MONITR", "TRAINMON_MONITOR"),
        ("TRAINMON_HOMES", "TRAINMON_HOME"),
        ("TRAINMON_SESION_NAME", "TRAINMON_SESSION_NAME"),
        ("TRAINMON_RUNKEY", "TRAINMON_RUN_KEY"),
        ("TRAINMON_DISABLED_PLUGINS", "TRAINMON_DISABLE_PLUGINS"),
        ("trainmon_monitor", "TRAINMON_MONITOR"),
    ],
)
def test_what_is_nearly_a_setting_is_told(name, meant):
    """A letter more, less or small: the setting that was meant is named."""
    assert list(misspelt([name])) == [f"{name} is no setting and is ignored: did you mean {meant}?"]


def test_settings_and_strangers_are_left_alone():
    """What is a setting, is a plugin's own, or was made by an orchestrator is no mistake."""
    strangers = [
        "TRAINMON_PORT_50051_TCP_ADDR",
        "TRAINMON_SERVICE_HOST",
        "TRAINMON_ACME_KEY",
        "PATH",
    ]
    tests = ["TRAINMON_REQUIRE", "TRAINMON_CHROMIUM", "TRAINMON_PYTHONS", "TRAINMON_SKIP_DASHBOARD"]
    assert not list(misspelt([*Settings().to_environment(), *strangers, *tests]))


def test_a_command_warns_and_goes_on(monkeypatch):
    """The warning is one line of the error stream; the commands that one starts are silent."""
    monkeypatch.setenv("TRAINMON_MONITR", "x")
    goes_on = ["sessions", "--state", "nonsense"]  # as far as to what is wrong with it
    told = CliRunner().invoke(main, goes_on, prog_name="trainmon")
    warning, *rest = told.stderr.splitlines()
    assert warning.startswith("Warning: TRAINMON_MONITR is no setting and is ignored")
    assert "'nonsense' is no state" in rest[-1]
    silent = CliRunner().invoke(main, trainmon_command(*goes_on)[3:], prog_name="trainmon")
    assert silent.stderr.splitlines() == rest
