"""The durable store: what it keeps is there when it is opened again."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from itertools import pairwise

import pytest

from trainmon.monitor.store.base import MetricsQuery, ProducerRecord, Record, StoreWriteError
from trainmon.monitor.store.durable.sqlite import DATABASE
from trainmon.v1.control_pb2 import CommandRecord, CommandState, ControlCommand
from trainmon.v1.telemetry_pb2 import (
    BatchData,
    EpochData,
    ErrorResponse,
    ImageData,
    MetricData,
    StatusUpdate,
    TrainingStatus,
)

APPLIED = CommandState.COMMAND_STATE_APPLIED
RUNNING = TrainingStatus.TRAINING_STATUS_RUNNING


def command(name, state=CommandState.COMMAND_STATE_RECORDED, session_id="s"):
    """Return the record of a command."""
    return CommandRecord(
        session_id=session_id, command=ControlCommand(command_id=name), state=state
    )


async def test_everything_is_there_again(open_history, rows_of, session_record):
    """Scalars, pictures, epochs, commands, errors, numbers and the session outlive the store."""
    first = open_history()
    producer = ProducerRecord("p", rank=3, hostname="h", pid=7, last_seen_ms=9, status=RUNNING)
    await first.put_session(session_record(producers=[producer]))
    await first.append("s", Record("p", 1, series=[rows_of([1.0, 2.0])], timestamp_ms=5))
    await first.append("s", Record("p", 4, epoch=EpochData(epoch=1)))
    await first.append("s", Record("p", 5, status=StatusUpdate(message="hello")))
    await first.append("s", Record("p", 6, key_frame=BatchData(global_step=1)))
    await first.put_command(command("a"))
    await first.put_command(command("b"))
    await first.put_command(command("a", CommandState.COMMAND_STATE_APPLIED))
    await first.put_error("s", ErrorResponse(message="oh"))
    before = await first.load("s")
    await first.close()
    again = open_history()
    assert again.identity == first.identity
    assert again.generation == first.generation + 1
    assert await again.load("s") == before
    assert [each.message for each in before.errors] == ["oh"]
    assert [(each.command.command_id, each.state) for each in before.commands] == [
        ("a", CommandState.COMMAND_STATE_APPLIED),
        ("b", CommandState.COMMAND_STATE_RECORDED),
    ]
    assert [each.epoch for each in before.epochs] == [1]
    assert before.picture.global_step == 1
    (kept,) = before.record.producers
    assert (kept.rank, kept.hostname, kept.pid, kept.status) == (3, "h", 7, RUNNING)
    assert (kept.stored, kept.missing) == (6, 2)
    (listed,) = await again.sessions()
    assert (listed.summary.session_name, listed.run_key) == ("digits", "run of s")
    (found,) = await again.metrics("s", MetricsQuery())
    assert list(found.values) == [1.0, 2.0]
    assert (await again.key_frame("s", 0)).global_step == 1
    assert not await again.append("s", Record("p", 6, series=[rows_of([9.0])]))
    (found,) = await again.metrics("s", MetricsQuery())
    assert len(found.values) == 2


async def test_positions_tell_what_came_after(open_history, rows_of, session_record):
    """What was kept of a session comes back in its order, each thing with its place."""
    store = open_history()
    await store.put_session(session_record())
    one = await store.append("s", Record("p", 1, series=[rows_of([1.0])], timestamp_ms=5))
    two = await store.append("s", Record("p", 2, epoch=EpochData(epoch=0)))
    other = await store.append("t", Record("p", 1, series=[rows_of([1.0])]))
    await store.put_error("s", ErrorResponse(message="oh"))
    doubled = await store.append("s", Record("p", 2, epoch=EpochData(epoch=0)))
    assert (one.position, two.position, other.position, doubled.position) == (1, 2, 1, None)
    stored = await store.load("s")
    assert [(event.position, event.kind) for event in stored.events] == [
        (1, "metric_data"),
        (2, "epoch_data"),
        (3, "error"),
    ]
    assert (stored.position, stored.floor) == (3, 0)
    assert MetricData.FromString(stored.events[0].message).timestamp_ms == 5


async def test_everything_that_happened_is_told_in_pages(open_history, tmp_path, session_record):
    """Each command is there once, where it was first, as it is now: not only the newest."""
    store = open_history()
    await store.put_session(session_record())
    names = [str(number) for number in range(4500)]
    await asyncio.gather(*(store.put_command(command(name)) for name in names))
    await store.put_command(command("7", CommandState.COMMAND_STATE_APPLIED))
    for number in range(3):
        await store.append("s", Record("p", number + 1, epoch=EpochData(epoch=number)))
        message = str(number) * 700_000
        await store.put_error("s", ErrorResponse(message=message))

    async def pages(kind):
        after, found = 0, []
        while True:
            page = await store.events("s", kind, after)
            found.append(page.messages)
            if not page.next:
                return found
            after = page.next

    told = await pages("command_record")
    assert [len(page) for page in told] == [2000, 2000, 500]
    records = [CommandRecord.FromString(each) for page in told for each in page]
    assert [each.command.command_id for each in records] == names
    assert [number for number, each in enumerate(records) if each.state == APPLIED] == [7]
    assert [len(page) for page in await pages("error")] == [2, 1]
    (epochs,) = await pages("epoch_data")
    assert [EpochData.FromString(each).epoch for each in epochs] == [0, 1, 2]
    assert await pages("status_update") == [[]]
    assert (await store.events("no such session", "error", 0)).messages == ()


async def test_compaction_moves_the_floor(open_history, rows_of, session_record, small_chunks):
    """Through what was compacted viewers resume no more, but for the newest of it."""
    store = open_history()
    await store.put_session(session_record())
    for number in range(200):
        await store.append("s", Record("p", number + 1, series=[rows_of([1.0], number)]))
    await store.settle()
    stored = await store.load("s")
    assert stored.position == 200
    assert 0 < stored.floor < 200
    assert [event.position for event in stored.events] == list(range(stored.floor + 1, 201))
    (found,) = await store.metrics("s", MetricsQuery())
    assert list(found.steps) == list(range(200))


async def test_a_damaged_picture_goes_and_the_next_is_shown(open_history, tmp_path):
    """Broken bytes of a picture are no error: the nearest whole one is the answer."""
    store = open_history()
    for step in (10, 20):
        frame = BatchData(global_step=step, images=[ImageData(image_bytes=bytes(1000))])
        await store.append("s", Record("p", step, key_frame=frame))
    (file,) = (tmp_path / "history" / "pictures").glob("*/*")
    data = bytearray(file.read_bytes())
    data[-100] ^= 0xFF
    file.write_bytes(data)
    assert (await store.key_frame("s", 20)).global_step == 10
    file.unlink()
    assert await store.key_frame("s", 20) is None


async def test_what_a_crash_left_of_a_picture_is_cut_off(open_history, tmp_path):
    """A file that is longer than its index, and one that no index knows, are put right."""
    store = open_history()
    frame = BatchData(global_step=1, images=[ImageData(image_bytes=bytes(1000))])
    await store.append("s", Record("p", 1, key_frame=frame))
    await store.close()
    (file,) = (tmp_path / "history" / "pictures").glob("*/*")
    size = file.stat().st_size
    with file.open("ab") as torn:
        torn.write(b"torn")
    stray = file.with_name("000099.frames")
    stray.write_bytes(b"stray")
    again = open_history()
    await again.append("s", Record("p", 2, key_frame=BatchData(global_step=2)))
    await again.settle()
    await again.close()
    assert not stray.exists()
    assert (await open_history().key_frame("s", 1)) == frame
    assert size < file.stat().st_size < size + 100


async def test_pictures_of_a_run_are_thinned_evenly(open_history, tmp_path):
    """Over its budget every second picture goes, the newest stays, and the files shrink."""
    store = open_history(run_pictures=1 << 20)
    for step in range(300):
        frame = BatchData(
            global_step=step, images=[ImageData(image_bytes=bytes([step % 251]) * 20_000)]
        )
        await store.append("s", Record("p", step + 1, key_frame=frame))
    steps = sorted({(await store.key_frame("s", asked)).global_step for asked in range(300)})
    assert 299 in steps
    assert steps[0] == 0
    gaps = [after - before for before, after in pairwise(steps)]
    assert max(gaps) <= 2 * min(gaps[:-1])
    await store.settle()
    await store.close()
    files = (tmp_path / "history" / "pictures").glob("*/*")
    assert sum(each.stat().st_size for each in files) < 3 << 20


async def test_pictures_of_old_runs_go_first(open_history, session_record):
    """Over the budget of all, the oldest run that has ended is thinned, the live one last."""
    store = open_history(pictures=1 << 20)
    for number, (name, ended_ms) in enumerate((("live", None), ("old", 1), ("new", 2))):
        record = session_record(session_id=name, ended_ms=ended_ms, started_ms=number)
        await store.put_session(record)
        for step in range(24):
            frame = BatchData(global_step=step, images=[ImageData(image_bytes=bytes(20_000))])
            await store.append(name, Record("p", step + 1, key_frame=frame))
    await store.settle()
    kept = {}
    for name in ("live", "old", "new"):
        found = [await store.key_frame(name, step) for step in range(24)]
        kept[name] = len({each.global_step for each in found})
    assert kept["live"] == 24
    assert kept["old"] < kept["new"]


async def test_deletion_gives_room_back(open_history, rows_of, tmp_path, session_record):
    """Of a deleted session neither rows nor files are left, and the database is smaller."""
    store = open_history()
    await store.put_session(session_record())
    for number in range(60):
        values = [float(number * index % 97) for index in range(4096)]
        frame = BatchData(global_step=number, images=[ImageData(image_bytes=bytes(10_000))])
        record = Record("p", number + 1, series=[rows_of(values, number * 4096)], key_frame=frame)
        await store.append("s", record)
    await store.append("t", Record("p", 1, series=[rows_of([1.0])]))
    await store.close()
    path = tmp_path / "history" / DATABASE
    before = path.stat().st_size
    store = open_history()
    await store.forget("s")
    assert await store.sessions() == []
    await store.close()
    store = open_history()  # what is not yet gone goes on going
    await store.settle()
    await store.close()
    assert path.stat().st_size < before / 2
    assert not list((tmp_path / "history" / "pictures").glob("*"))
    with closing(sqlite3.connect(path)) as connection:
        tables = [
            row[0]
            for row in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")
        ]
        counts = {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608 - its own
            for name in tables
        }
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert counts["sessions"] == 1
    assert counts["frames"] == counts["albums"] == counts["facts"] == 0


async def test_a_database_that_is_locked_is_written_later(open_history, monkeypatch, tmp_path):
    """While another program holds the lock nothing is acknowledged; afterwards all goes on."""
    monkeypatch.setattr("trainmon.monitor.store.durable.sqlite._BUSY_S", 0.01)
    store = open_history()
    await store.append("s", Record("p", 1))
    with closing(sqlite3.connect(tmp_path / "history" / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(StoreWriteError, match="locked"):
                await store.append("s", Record("p", 2))
        assert not await store.try_write()
        assert await store.stored_sequence("s", "p") == 1
    assert await store.try_write()
    await store.append("s", Record("p", 2))
    assert await store.stored_sequence("s", "p") == 2
