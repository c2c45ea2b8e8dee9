"""What is no history of ours is refused with what to do, and left as it is, byte for byte."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from trainmon.errors import ConfigurationError, HomeLockedError
from trainmon.monitor.store.base import Record
from trainmon.monitor.store.durable.migrations import NEWEST, NewerSchemaError
from trainmon.monitor.store.durable.mounts import network_file_system
from trainmon.monitor.store.durable.sqlite import DATABASE, DamagedDatabaseError
from trainmon.monitor.store.durable.store import SqlStore


def everything(folder):
    """Return each file below a folder with its bytes."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
async def folder(open_history, tmp_path, rows_of):
    """Return a folder with a history in it."""
    store = open_history()
    for number in range(200):
        values = [float(number)] * 100
        await store.append("s", Record("p", number + 1, series=[rows_of(values, number * 100)]))
    await store.close()
    return tmp_path / "history"


def refused(folder, error, *words):
    """Try to open a history; return nothing if it is refused with these words, and untouched."""
    before = everything(folder)
    with pytest.raises(error) as told:
        SqlStore(folder, 1 << 20, 1 << 20)
    assert everything(folder) == before
    for word in (str(folder), "TRAINMON_STORE", *words):
        assert word in str(told.value)


async def test_a_newer_schema_is_refused(folder):
    """The message names the file and both versions."""
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute(f"PRAGMA user_version = {NEWEST + 5}")
    refused(folder, NewerSchemaError, DATABASE, str(NEWEST + 5), str(NEWEST), "left as it is")


def kill_a_newer_one(folder):
    """Let a process write a newer version into the log, and kill it."""
    program = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('PRAGMA journal_mode = WAL'); c.execute('PRAGMA user_version = 99'); "
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(folder / DATABASE)], check=False)


async def test_a_newer_schema_in_the_log_is_refused(folder):
    """Where a newer trainmon was killed, its version is in the log and not yet in the file."""
    kill_a_newer_one(folder)
    before = (folder / DATABASE).read_bytes()
    with pytest.raises(NewerSchemaError, match="99"):
        SqlStore(folder, 1 << 20, 1 << 20)
    assert (folder / DATABASE).read_bytes() == before


@pytest.mark.parametrize(
    ("start", "data"), [(0, b"something else altogether"), (4096 * 4, bytes(range(256)) * 64)]
)
async def test_a_damaged_file_is_refused(folder, start, data):
    """Also where only the middle of it is overwritten."""
    content = bytearray((folder / DATABASE).read_bytes())
    content[start : start + len(data)] = data
    (folder / DATABASE).write_bytes(content)
    refused(folder, DamagedDatabaseError, DATABASE, "Move it away")


async def test_a_file_that_was_cut_short_is_refused(folder):
    """As a copy that broke off leaves it."""
    content = (folder / DATABASE).read_bytes()
    (folder / DATABASE).write_bytes(content[: len(content) // 2])
    refused(folder, DamagedDatabaseError, DATABASE)


async def test_another_programs_database_is_refused(tmp_path):
    """A database is not taken over because of its name."""
    (tmp_path / "other").mkdir()
    with closing(sqlite3.connect(tmp_path / "other" / DATABASE)) as connection:
        connection.execute("PRAGMA application_id = 7")
        connection.execute("CREATE TABLE meta (key TEXT)")
    refused(tmp_path / "other", DamagedDatabaseError, "another program")


async def test_a_history_that_is_open_is_refused(folder, open_history):
    """Two monitors never write one history, whatever their TRAINMON_HOME."""
    store = open_history(folder)
    with pytest.raises(HomeLockedError, match="pid"):
        SqlStore(folder, 1 << 20, 1 << 20)
    await store.close()
    open_history(folder)


async def test_a_text_file_is_refused(tmp_path):
    """A file that is no database says so."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / DATABASE).write_text("my notes")
    refused(tmp_path / "other", DamagedDatabaseError, "no SQLite database")


MOUNTS = """\
21 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
36 21 0:44 / /home rw,relatime shared:2 - nfs4 server:/home rw
37 36 254:2 / /home/local\\040disk rw shared:3 - xfs /dev/vdb rw
38 21 0:50 / /remote rw - fuse.sshfs me@host: rw
39 21 0:51 / /cache rw - fuse.bindfs /x rw
40 21 0:52 / /cache rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/var/lib/trainmon", None),
        ("/home/me/.local/share/trainmon/history", "nfs4"),
        ("/home/local disk/trainmon", None),
        ("/remote/x", "fuse.sshfs"),
        ("/cache/x", "cifs"),
        ("/homes/me", None),
    ],
)
def test_network_file_systems_are_known(tmp_path, place, kind):
    """The mount that a folder is below decides, the newest at one place."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert network_file_system(type(tmp_path)(place), mounts) == kind


def test_where_mounts_cannot_be_read_nothing_is_refused(tmp_path):
    """On other systems there is no such file."""
    assert network_file_system(tmp_path, tmp_path / "none") is None


def test_a_network_file_system_is_refused(tmp_path, monkeypatch):
    """The message names the kind, and the settings that help."""
    monkeypatch.setattr(
        "trainmon.monitor.store.durable.sqlite.network_file_system", lambda folder: "nfs4"
    )
    with pytest.raises(ConfigurationError, match=r"nfs4.*TRAINMON_STORE.*TRAINMON_HOME"):
        SqlStore(tmp_path / "history", 1 << 20, 1 << 20)
    assert not (tmp_path / "history").exists()
