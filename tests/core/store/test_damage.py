"""What is damaged while it is in use: the file ends all writing, a row costs only itself."""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import closing

import pytest

from trainmon.monitor.store.base import MetricsQuery, Record, StoreReadError, StoreWriteError
from trainmon.monitor.store.durable.checking import BackgroundCheck
from trainmon.monitor.store.durable.damage import Damage
from trainmon.monitor.store.durable.sqlite import CHECKS_TABLES, DATABASE, DamagedDatabaseError
from trainmon.v1.control_pb2 import CommandRecord, ControlCommand
from trainmon.v1.telemetry_pb2 import EpochData, ErrorResponse, MetricSeries

GARBAGE = bytes(range(256))


def rooted(path, name):
    """Return where the first page of a table lies in the file, and how long a page is."""
    with closing(sqlite3.connect(path)) as connection:
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        chosen = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (root,) = connection.execute(chosen, (name,)).fetchone()
    return (root - 1) * page_bytes, page_bytes


def overwrite(path, name):
    """Overwrite the first page of a table."""
    start, page_bytes = rooted(path, name)
    content = bytearray(path.read_bytes())
    content[start : start + page_bytes] = (GARBAGE * page_bytes)[:page_bytes]
    path.write_bytes(content)


def change(path, statement, *values):
    """Change rows of a database that nobody has open."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(statement, values).rowcount > 0


@pytest.fixture
async def path(open_history, tmp_path, rows_of, session_record):
    """Return a database with a run in it, which nobody has open."""
    store = open_history()
    await store.put_session(session_record())
    for number in range(200):
        values = [float(number)] * 100
        await store.append("s", Record("p", number + 1, series=[rows_of(values, number * 100)]))
    await store.close()
    return tmp_path / "history" / DATABASE


@pytest.fixture
def large(monkeypatch):
    """Let every database count as too large to be read through at the start."""
    monkeypatch.setattr("trainmon.monitor.store.durable.sqlite._CHECKED_BYTES", 0)


@pytest.fixture
def unchecked(monkeypatch, large):
    """Let nothing be read through, also not in the background."""
    monkeypatch.setattr(BackgroundCheck, "_verdict", lambda check: "ok")


async def test_a_large_file_is_checked_while_it_is_used(open_history, path, large, caplog):
    """What a start cannot wait for is found later, said once, and ends all writing."""
    overwrite(path, "chunks")
    store = open_history()
    store._check.wait()
    for _ in range(2):
        with pytest.raises(StoreWriteError, match=r"is damaged.*move the folder") as told:
            await store.append("s", Record("p", 201))
        assert str(path) in str(told.value)
        assert "make room" not in str(told.value)
    assert not await store.try_write()
    said = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(said) == 1
    assert str(path) in said[0].getMessage()
    assert (await store.load("s")).record.registration.session_name == "digits"
    await store.close()


async def test_a_whole_large_file_is_used_as_any(open_history, path, large):
    """A check that finds nothing changes nothing."""
    store = open_history()
    store._check.wait()
    await store.append("s", Record("p", 201))
    assert await store.stored_sequence("s", "p") == 201


async def test_a_large_file_is_refused_where_a_start_can_see_it(open_history, path, large):
    """What every start reads is checked at every start, whatever the size."""
    overwrite(path, "sessions")
    before = path.read_bytes()
    with pytest.raises(DamagedDatabaseError, match="Move it away"):
        open_history()
    assert path.read_bytes() == before


class Endless(sqlite3.Connection):
    """A connection whose check has no end, as that of a very large file."""

    began = threading.Event()

    def execute(self, *_):
        """Count for ever."""
        self.began.set()
        return super().execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        )


def test_a_check_ends_with_its_store(tmp_path):
    """A monitor that closes does not wait for the end of a check, nor take it for a finding."""
    damage = Damage("history.db")
    check = BackgroundCheck(
        lambda: sqlite3.connect(":memory:", factory=Endless, check_same_thread=False), damage
    )
    assert Endless.began.wait(30)
    check.stop()
    assert not check._thread.is_alive()
    assert not damage.ends_writing


@pytest.mark.skipif(not CHECKS_TABLES, reason="this SQLite checks the whole database only")
async def test_a_check_holds_the_log_for_one_table_at_most(path):
    """Between two tables, whoever writes can begin the log anew."""
    busy = []
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    class Watched(sqlite3.Connection):
        def execute(self, statement, *values):
            if "quick_check" in statement:
                writer.execute("UPDATE meta SET value = value")
                busy.append(writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
            return super().execute(statement, *values)

    damage = Damage("history.db")
    with closing(writer):
        BackgroundCheck(lambda: sqlite3.connect(path, factory=Watched), damage).wait()
    assert not damage.ends_writing
    assert len(busy) > 5
    assert not any(busy)


async def test_a_writer_tells_damage_from_a_full_disk(open_history, path, unchecked):
    """A malformed image is not mended by room, and nothing is written to it any more."""
    overwrite(path, "tail")
    store = open_history()
    with pytest.raises(StoreWriteError, match=r"malformed.*nothing more is written") as told:
        await store.append("s", Record("p", 201, series=[MetricSeries(name="loss", steps=[1])]))
    assert "make room" not in str(told.value)
    with pytest.raises(StoreWriteError, match="malformed"):
        await store.append("another", Record("p", 1))


async def test_a_reader_says_what_it_cannot_read(open_history, path, unchecked):
    """No raw error of the database reaches who asks; writing ends with the first finding."""
    overwrite(path, "chunks_by_step")
    store = open_history()
    with pytest.raises(StoreReadError, match=r"malformed.*move the folder"):
        await store.metrics("s", MetricsQuery(max_points=10))
    with pytest.raises(StoreWriteError, match="malformed"):
        await store.append("s", Record("p", 201))


async def test_one_bad_record_costs_itself(open_history, path, rows_of, caplog):
    """The others of the tail are read and compacted; the bad one is counted and said once."""
    store = open_history()
    await store.settle()
    for number in range(3):
        await store.append("s", Record("q", number + 1, series=[rows_of([7.0], 30_000 + number)]))
    await store.close()
    change(
        path,
        "UPDATE tail SET message = x'ffff' WHERE position = (SELECT max(position) - 1 FROM tail)",
    )
    store = open_history()
    caplog.clear()
    for _ in range(2):
        (found,) = await store.metrics("s", MetricsQuery(first_step=30_000))
        assert list(found.steps) == [30_000, 30_002]
    assert [each.kind for each in (await store.load("s")).events][-2:] == ["metric_data"] * 2
    values = [1.0] * 4096
    await store.append("s", Record("q", 4, series=[rows_of(values, 40_000)]))
    await store.settle()
    (found,) = await store.metrics("s", MetricsQuery(first_step=30_000))
    assert list(found.steps) == [30_000, 30_002, *range(40_000, 44_096)]
    said = [each for each in caplog.records if "record" in each.getMessage()]
    assert len(said) == 1


@pytest.fixture
async def levels(open_history, tmp_path, rows_of, small_chunks, session_record):
    """Return a database with three levels of chunks, of steps 0 to 2303."""
    store = open_history()
    await store.put_session(session_record())
    for start in range(0, 2304, 64):
        values = [float(start + index) for index in range(64)]
        await store.append("s", Record("p", start + 1, series=[rows_of(values, start)]))
    await store.settle()
    await store.close()
    return tmp_path / "history" / DATABASE


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("message", [b"", b"no chunk at all"])
async def test_one_bad_chunk_costs_itself(open_history, levels, rows_of, caplog, level, message):
    """Of level 0 its rows are left out; of those above nothing is lost, they are made anew."""
    number = 1 if level == 0 else 0
    statement = "UPDATE chunks SET message = ? WHERE level = ? AND number = ?"
    change(levels, statement, message, level, number)
    lost = range(8, 16) if level == 0 else ()
    wanted = [step for step in range(2304) if step not in lost]
    store = open_history()
    await store.append("s", Record("p", 2305, series=[rows_of([0.0] * 16, 2304)]))
    await store.settle()
    wanted += range(2304, 2320)
    (found,) = await store.metrics("s", MetricsQuery())
    assert list(found.steps) == wanted
    for first, last in ((0, 2319), (3, 1999), (9, 2310), (0, 20)):
        (found,) = await store.metrics("s", MetricsQuery(first_step=first, last_step=last))
        assert list(found.steps) == [step for step in wanted if first <= step <= last]
        (thin,) = await store.metrics("s", MetricsQuery((), first, last, 4))
        inside = last - first + 1
        # What was merged before the damage still tells of it.
        assert inside - len(lost) <= sum(thin.counts) <= inside
        assert max(thin.maximums) == min(last, 2303)
    said = [each for each in caplog.records if "damaged and was left out" in each.getMessage()]
    assert len(said) <= 1


async def test_a_bad_chunk_above_nothing_costs_itself(open_history, levels):
    """One that says it covers what it does not cover: nothing can be made anew, nothing fails."""
    change(levels, "UPDATE chunks SET message = x'00' WHERE level = 2")
    change(levels, "UPDATE chunks SET covered = 0 WHERE level = 1")
    store = open_history()
    for points in (0, 4, 100):
        for found in await store.metrics("s", MetricsQuery(max_points=points)):
            assert len(found.steps)


async def test_levels_are_built_over_a_bad_chunk(open_history, rows_of, tmp_path, small_chunks):
    """What is compacted after the damage is shown at every zoom, the bad chunk at none."""
    store = open_history()
    for start in (0, 16):
        await store.append("s", Record("p", start + 1, series=[rows_of([1.0] * 16, start)]))
    await store.settle()
    await store.close()
    change(tmp_path / "history" / DATABASE, "UPDATE chunks SET message = x'00' WHERE number = 1")
    store = open_history()
    for start in range(32, 4096, 32):
        await store.append("s", Record("p", start + 1, series=[rows_of([2.0] * 32, start)]))
    await store.settle()
    await store.append("s", Record("p", 5000, series=[rows_of([3.0] * 16, 20)]))  # late, some lost
    await store.settle()
    for points in (0, 1, 7, 100, 1000):
        (found,) = await store.metrics("s", MetricsQuery(max_points=points))
        assert not any(count == 0 for count in found.counts)
        assert (sum(found.counts) or len(found.steps)) == 4096 - 8 + 16
    (found,) = await store.metrics("s", MetricsQuery((), 3, 4000, 5))
    assert sum(found.counts) == 4000 - 3 + 1 - 8 + 16


async def test_bad_facts_and_sessions_cost_themselves(open_history, tmp_path, session_record):
    """A run of which something cannot be read is listed and opened with the rest."""
    store = open_history()
    for name in ("s", "t"):
        await store.put_session(session_record(session_id=name, ended_ms=9))
        for number in range(3):
            await store.append(name, Record("p", number + 1, epoch=EpochData(epoch=number)))
            command = ControlCommand(command_id=str(number))
            await store.put_command(CommandRecord(session_id=name, command=command))
            await store.put_error(name, ErrorResponse(message=str(number)))
    await store.close()
    path = tmp_path / "history" / DATABASE
    change(path, "UPDATE facts SET message = x'ffff' WHERE session = 1 AND name IN ('0/1', '1')")
    change(path, "UPDATE facts SET message = x'ffff' WHERE session = 1 AND position = 9")
    change(path, "UPDATE sessions SET snapshot = x'ff', registration = x'ff' WHERE pk = 1")
    store = open_history()
    listed = {each.summary.session_id: each.summary for each in await store.sessions()}
    assert (listed["s"].started_ms, listed["s"].ended_ms) == (1, 9)
    assert listed["t"].session_name == "digits"
    found = await store.load("s")
    assert (found.record.run_key, found.record.registration.run_key) == ("run of s",) * 2
    assert [each.epoch for each in found.epochs] == [0, 2]
    assert [each.command.command_id for each in found.commands] == ["0", "2"]
    assert [each.message for each in found.errors] == ["0", "1"]
    assert len(found.events) == 6
    assert len((await store.load("t")).events) == 9
