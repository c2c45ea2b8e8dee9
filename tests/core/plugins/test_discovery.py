"""Installed plugins are found by entry point; what is wrong with one is a row, never an error."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from trainmon.config import Settings
from trainmon.manager import PluginManager, PluginState

NOTHING = "from trainmon.plugin import hookimpl\n"
STARTED = "@hookimpl\ndef trainmon_session_started(session): session.append(__name__)\n"


def test_a_strangers_package_is_found_runs_fails_and_is_quarantined(
    acme, manager, session, step, row, tmp_path, monkeypatch
):
    """Its hooks run; its exception is caught, counted, and at the fifth in a row it is out."""
    from dataclasses import replace

    diary = tmp_path / "diary.txt"
    monkeypatch.setenv("ACME_TRACKER_FILE", str(diary))
    manager.discover()
    found = row(manager, "acme")
    assert (found.distribution, found.version, found.state) == (
        "acme-tracker",
        "1.2.3",
        PluginState.ACTIVE,
    )
    assert found.hooks == ("trainmon_batch_ended", "trainmon_cli", "trainmon_session_started")

    manager.session_started(session)
    manager.batch_ended(session, step)
    for _ in range(6):
        manager.batch_ended(session, replace(step, loss=float("nan")))
    manager.batch_ended(session, step)

    assert diary.read_text() == "digits started\nstep 7: 0.5\n"
    found = row(manager, "acme")
    assert (found.state, found.failures) == (PluginState.QUARANTINED, 5)
    assert "cannot track the loss of step 7" in found.last_error


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import no_such_module_here", "ModuleNotFoundError"),
        ("def (", "SyntaxError"),
        ("raise RuntimeError('at import')", "RuntimeError: at import"),
        ("import sys; sys.exit('at import')", "SystemExit: at import"),
    ],
)
def test_a_plugin_that_fails_to_import_is_a_row(install, manager, row, source, told):
    """Its error and traceback are kept, and the others load."""
    install("broken", source)
    install("sound", NOTHING + STARTED)
    manager.discover()
    broken = row(manager, "broken")
    assert (broken.state, broken.failures) == (PluginState.FAILED, 1)
    assert told in broken.last_error
    assert "Traceback" in broken.traceback
    started = []
    manager.session_started(started)
    assert started == ["sound"]


def test_an_entry_point_that_names_nothing_is_a_row(install, manager, row):
    """An attribute its module does not have is a failure to load."""
    install("broken", NOTHING, entry="{module}:missing")
    manager.discover()
    assert row(manager, "broken").state is PluginState.FAILED
    assert "missing" in row(manager, "broken").last_error


def test_ctrl_c_at_an_import_is_the_users_own(install, manager):
    """A KeyboardInterrupt while plugins load ends the program as ever."""
    install("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        manager.discover()


def test_a_disabled_plugin_is_not_imported(install, row):
    """TRAINMON_DISABLE_PLUGINS keeps a plugin out, and the row says so."""
    install("unwanted", "raise AssertionError('imported')")
    settings = Settings.from_environment({"TRAINMON_DISABLE_PLUGINS": "other, unwanted"})
    manager = PluginManager(settings)
    manager.discover()
    unwanted = row(manager, "unwanted")
    assert (unwanted.state, unwanted.failures) == (PluginState.DISABLED, 0)
    assert "unwanted" not in sys.modules


def test_a_plugin_that_does_not_fit_is_a_row(install, manager, row):
    """A hook misspelt, or a contract newer than ours, makes a plugin incompatible."""
    install("misspelt", NOTHING + "@hookimpl\ndef trainmon_batch_end(): pass")
    install("newer", "trainmon_hookspec_version = 99")
    manager.discover()
    assert "did you mean trainmon_batch_ended?" in row(manager, "misspelt").last_error
    assert "upgrade trainmon" in row(manager, "newer").last_error
    assert {row(manager, name).state for name in ("misspelt", "newer")} == {
        PluginState.INCOMPATIBLE
    }


def test_two_packages_that_claim_one_name_are_two_rows(install, manager):
    """One of them runs, the other says whose name it wanted."""
    install("one", NOTHING + STARTED, plugin="same")
    install("two", NOTHING + STARTED, plugin="same")
    manager.discover()
    started = []
    manager.session_started(started)
    assert len(started) == 1
    (refused,) = [row for row in manager.rows() if row.state is PluginState.INCOMPATIBLE]
    assert f"the name same is taken by same ({started[0]} 1.0)" in refused.last_error


def test_discovery_twice_changes_nothing(acme, manager):
    """What was met is met once."""
    manager.discover()
    rows = manager.rows()
    manager.discover()
    assert manager.rows() == rows


def test_broken_metadata_of_others_hides_no_plugin(install, manager, row, tmp_path):
    """A distribution with unreadable entry points is passed over; one without a name is met."""
    install("sound", NOTHING + STARTED)
    for name, content in {
        "garbage": b"\xff\xfe\x00 [",
        "half": b"[trainmon]\nhalf = sound\n",
    }.items():
        info = tmp_path / "site-packages" / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_bytes(content)
    manager.discover()
    assert row(manager, "sound").state is PluginState.ACTIVE
    half = row(manager, "half")
    assert (half.distribution, half.state) == ("", PluginState.ACTIVE)


def test_an_older_copy_further_down_the_path_is_not_met(install, manager, tmp_path, monkeypatch):
    """Of one distribution found twice, the one that would be imported counts."""
    install("copied", NOTHING + STARTED)
    info = tmp_path / "below" / "copied-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: copied\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[trainmon]\ncopied = copied\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(info.parent)])
    manager.discover()
    assert [row.version for row in manager.rows() if row.name == "copied"] == ["1.0"]


def test_loading_one_plugin_leaves_the_others_alone(install):
    """A training loads its own adapter; no observer is imported into it."""
    install("adapter", NOTHING + STARTED)
    install("observer", "raise AssertionError('imported')")
    manager = PluginManager(Settings(), "trainer")
    assert manager.load("adapter")
    assert not manager.load("missing")
    assert [row.name for row in manager.rows()] == ["adapter"]


def test_discovery_imports_no_framework():
    """Whatever is installed, finding plugins loads no framework and no grpcio."""
    code = (
        "import sys\nfrom trainmon.manager import get_manager\nget_manager('relay')\n"
        "print(*sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    heavy = {"torch", "tensorflow", "jax", "keras", "lightning", "transformers", "grpc", "PIL"}
    assert not set(answer.stdout.split()) & heavy


def test_the_strangers_package_is_laid_out_as_pip_does(acme):
    """The fixture is an installed distribution with metadata, entry points and record."""
    (found,) = [each for each in distributions() if each.metadata["Name"] == "acme-tracker"]
    assert [entry.group for entry in found.entry_points] == ["trainmon"]
    assert all(Path(file.locate()).is_file() for file in found.files)
