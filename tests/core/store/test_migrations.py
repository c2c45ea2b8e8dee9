"""Histories that earlier versions wrote are read by this one, to the last row."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from kills.settings import SEED
from trainmon.monitor.store.base import MetricsQuery, Record
from trainmon.monitor.store.durable.migrations import NEWEST
from trainmon.monitor.store.durable.sqlite import DATABASE
from trainmon.v1.telemetry_pb2 import EpochData

HISTORIES = Path(__file__).parents[2] / "fixtures" / "histories"
PROGRAM = Path(__file__).with_name("migrating_process.py")
VERSIONS = range(1, NEWEST + 1)
KILLS = 8


def restored(folder: Path, version: int) -> Path:
    """Make a history of what a version wrote once; return its file."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.executescript((HISTORIES / f"version_{version}.sql").read_text())
    return folder / DATABASE


def version_of(path: Path) -> int:
    """Return the version in the header of a database."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return connection.execute("PRAGMA user_version").fetchone()[0]


async def check_history(store, version: int) -> None:
    """Hold a history against what was put in when its fixture was made."""
    assert store.identity == "known0identity"
    listed = await store.sessions()
    assert [each.summary.session_name for each in listed] == ["digits done", "digits live"]
    assert [each.run_key for each in listed] == ["run of done", "run of live"]
    await check_done(await store.load("done"), version)
    live = await store.load("live")
    assert (live.record.ended_ms, live.position) == (None, 1)
    await check_scalars(store)
    assert await store.stored_sequence("done", "q") == 2**64 - 1
    assert await store.stored_sequence("live", "p") == 1


async def check_done(done, version: int) -> None:
    """Check what is known of the run that had ended."""
    record = done.record
    assert (record.incarnation, record.started_ms, record.ended_ms) == ("inc", 1000, 2000)
    assert list(record.registration.class_names) == ["a", "b"]
    assert list(record.snapshot.notes) == ["a note"]
    assert record.snapshot.summary.global_step == 99
    processes = [
        (each.producer_id, each.rank, each.hostname, each.pid) for each in record.producers
    ]
    assert processes == [("p", 0, "host", 7), ("q", 1, "other", 8)]
    assert [each.missing for each in record.producers] == [4, 2**64 - 2]
    if version == 1:  # facts came with version 2
        assert [*done.epochs, *done.commands, *done.errors] == []
        return
    assert [(each.epoch, each.average_loss, each.metrics["f1"]) for each in done.epochs] == [
        (0, 0.0, 0.5),
        (1, 0.5, 0.5),
        (2, 1.0, 0.5),
    ]
    commands = [(each.command.command_id, each.command.issued_by) for each in done.commands]
    assert commands == [(f"c{number}", "someone") for number in range(3)]
    assert {each.state for each in done.commands} == {4}
    assert [each.message for each in done.errors] == ["oh"]


async def check_scalars(store) -> None:
    """Check every row, those in chunks and those in the tail, and that levels agree with them."""
    found = {
        (each.name, each.attempt): each for each in await store.metrics("done", MetricsQuery())
    }
    assert sorted(found) == [("loss", 0), ("loss", 1), ("loss/rank1", 0), ("rate", 0)]
    first, again, rate = found["loss", 0], found["loss", 1], found["rate", 0]
    assert list(first.steps) == list(range(96))
    assert list(first.values) == [step * 0.5 for step in range(96)]
    assert list(first.times) == [step * 10 for step in range(96)]
    assert list(rate.values) == [step % 7 for step in range(96)]
    assert list(again.steps) == [*range(90, 110), 120]
    assert list(again.values) == [*(-step for step in range(90, 110)), 3]
    assert (again.minimums[-1], again.maximums[-1], again.counts[-1]) == (1, 9, 4)
    assert list(found["loss/rank1", 0].values) == [0.5]
    for each in await store.metrics("done", MetricsQuery(names=["loss"], max_points=3)):
        assert sum(each.counts) == (96 if each.attempt == 0 else 24)
    (live,) = await store.metrics("live", MetricsQuery())
    assert (list(live.steps), list(live.values)) == ([5], [2.5])


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_older_schema_is_migrated(open_history, tmp_path, version):
    """Every run, row, number and fact of an earlier version is there, and goes on."""
    path = restored(tmp_path / "old", version)
    assert version_of(path) == version
    store = open_history(tmp_path / "old")
    assert store.generation == 2
    await check_history(store, version)
    await store.append("live", Record("p", 2, epoch=EpochData(epoch=7)))
    await store.append("live", Record("p", 1, epoch=EpochData(epoch=8)))
    await store.close()
    assert version_of(path) == NEWEST
    again = open_history(tmp_path / "old")
    await check_history_but_live(again, version)
    assert [each.epoch for each in (await again.load("live")).epochs] == [7]


async def check_history_but_live(store, version: int) -> None:
    """Check what the newest version did not add to."""
    await check_done(await store.load("done"), version)
    await check_scalars(store)


def migrated(folder: Path, last: int = 0) -> subprocess.CompletedProcess[str]:
    """Open a history in another process, which is killed before a step."""
    return subprocess.run(
        [sys.executable, str(PROGRAM), str(folder), str(last)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", VERSIONS[:-1])
async def test_a_migration_that_is_killed_happens_later(open_history, tmp_path, version):
    """Killed at any step, it has not happened or it has, and the next start completes it."""
    restored(tmp_path / "whole", version)
    steps = int(migrated(tmp_path / "whole").stdout)
    chosen = {steps, *random.Random(f"{SEED} {version}").choices(range(1, steps), k=KILLS - 1)}
    versions = set()
    for last in sorted(chosen):
        path = restored(tmp_path / str(last), version)
        assert migrated(path.parent, last).returncode == -signal.SIGKILL
        versions.add(version_of(path))
        store = open_history(path.parent)
        await check_history(store, version)
        await store.close()
        assert version_of(path) == NEWEST
    assert versions <= set(range(version, NEWEST + 1))
    assert version in versions
