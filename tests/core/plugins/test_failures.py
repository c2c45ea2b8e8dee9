"""Failures are kept on disk, the newest of each plugin, so that another process can show them."""

from __future__ import annotations

import json
import os

import pytest

from trainmon._failures import FailureRecord, FailureRecords
from trainmon._guard import QUARANTINE_AFTER
from trainmon.config import Settings
from trainmon.manager import PluginManager
from trainmon.testing import RecordingPlugin


def failing() -> RecordingPlugin:
    """Return a plugin that raises at every batch."""
    return RecordingPlugin({"trainmon_batch_ended": ValueError("boom")})


def test_the_newest_failure_of_each_plugin_is_kept(manager, home, session, step):
    """The first failure is written at once, and the quarantine in its place."""
    manager.register(failing(), "bad", "acme", "1.0")
    manager.batch_ended(session, step)
    (record,) = FailureRecords(home / "plugins").read()
    assert (record.name, record.distribution, record.version) == ("bad", "acme", "1.0")
    assert (record.state, record.failures, record.role) == ("active", 1, "relay")
    assert record.pid == os.getpid()
    assert "ValueError: boom" in record.traceback

    for _ in range(QUARANTINE_AFTER):
        manager.batch_ended(session, step)
    (record,) = FailureRecords(home / "plugins").read()
    assert (record.state, record.failures) == ("quarantined", QUARANTINE_AFTER)


def test_a_plugin_that_does_not_load_is_kept(install, manager, home):
    """The process that lacks a plugin's module may be another than the one that shows it."""
    install("broken", "import no_such_module_here")
    manager.discover()
    records = {record.name: record for record in FailureRecords(home / "plugins").read()}
    assert records["broken"].state == "failed"


def test_a_plugin_that_loads_again_is_no_longer_blamed(install, manager, home, session, step, row):
    """Once a plugin was mended its record of not loading goes; one of raising stays."""
    records = FailureRecords(home / "plugins")
    for name, state in {"mended": "failed", "raises": "quarantined"}.items():
        install(name, "")
        records.write(FailureRecord(name, name, "1.0", state, 1, "error", "trace", "relay"))
    manager.discover()
    assert [record.name for record in records.read()] == ["raises"]


def test_a_training_writes_to_disk_only_when_told(home):
    """A disk can be slow, and a failure is no reason to hold up a step."""
    manager = PluginManager(Settings.from_environment(), "trainer", home / "plugins")
    manager.register(
        RecordingPlugin({"trainmon_collect_batch": ValueError("boom")}), "own", "acme", "1.0"
    )
    manager.collect_batch("own", "session", "raw")
    assert not home.exists()
    manager.save_failures()
    (record,) = FailureRecords(home / "plugins").read()
    assert (record.name, record.role, record.failures) == ("own", "trainer", 1)


def test_nothing_is_kept_where_no_folder_is_given(home, session, step):
    """Without a record a failure is only counted."""
    manager = PluginManager(role="relay")
    manager.register(failing(), "bad")
    manager.batch_ended(session, step)
    assert manager.failures == 1
    assert not home.exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", ".", "ümläut", "x y"])
def test_any_name_is_a_file_in_the_folder(manager, home, session, step, name):
    """A plugin's name cannot lead out of the folder."""
    manager.register(failing(), name)
    manager.batch_ended(session, step)
    (path,) = [path for path in home.rglob("*") if path.is_file()]
    assert path.parent == home / "plugins"
    assert [record.name for record in FailureRecords(home / "plugins").read()] == [name]


def test_a_record_that_cannot_be_written_is_counted(tmp_path, session, step):
    """Where the folder cannot be made, or the name is too long, the plugin's failure stays one."""
    (tmp_path / "file").write_text("no folder")
    manager = PluginManager(role="relay", record=tmp_path / "file" / "plugins")
    manager.register(failing(), "bad")
    manager.batch_ended(session, step)
    assert manager.failures == 1
    assert manager.unwritten_records == 1

    manager = PluginManager(role="relay", record=tmp_path / "plugins")
    manager.register(failing(), "x" * 300)
    manager.batch_ended(session, step)
    assert manager.unwritten_records == 1
    assert list((tmp_path / "plugins").iterdir()) == []


def test_files_that_are_no_records_are_left_out(manager, home, session, step):
    """Whatever lies in the folder, reading it gives the records there are."""
    manager.register(failing(), "bad")
    manager.batch_ended(session, step)
    folder = home / "plugins"
    good = json.loads((folder / "bad.json").read_text())
    for name, content in {
        "empty": b"",
        "garbage": b"\xff\x00",
        "list": b"[1, 2]",
        "lacking": json.dumps({"name": "x"}).encode(),
        "mistyped": json.dumps({**good, "name": 5}).encode(),
        "huge": json.dumps({**good, "traceback": "x" * 100_000}).encode(),
    }.items():
        (folder / f"{name}.json").write_bytes(content)
    (folder / "directory.json").mkdir()
    assert [record.name for record in FailureRecords(folder).read()] == ["bad"]


def test_forgetting_deletes_every_record(manager, home, session, step):
    """After forgetting there is nothing to read, and forgetting nothing is no error."""
    manager.register(failing(), "bad")
    manager.batch_ended(session, step)
    records = FailureRecords(home / "plugins")
    assert records.forget() == 1
    assert records.read() == []
    assert records.forget() == 0
    assert FailureRecords(home / "missing").forget() == 0
