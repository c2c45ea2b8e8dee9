"""The spool on disk: frames whole or absent, read back in order, one owner, cut off in front."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import random
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmon.relay.entry import Entry, RecordKind
from trainmon.relay.spool import Frame, Spool, SpoolBusyError
from trainmon.relay.spool.folder import SavedRun, folders_in
from trainmon.relay.spool.frames import pack, unpack
from trainmon.relay.spool.journal import Journal
from trainmon.relay.spool.waiting import abandoned
from trainmon.v1.telemetry_pb2 import RegisterTrainingSessionRequest

KINDS = list(RecordKind)


def frame(first: int, *messages: bytes, position: int = 0, state: bytes = b"{}") -> Frame:
    """Return a frame of records from a number on."""
    records = [
        Entry(KINDS[number % len(KINDS)], message, number % 2 == 1, number)
        for number, message in enumerate(messages, first)
    ]
    return Frame(position, 7, 3, 0, first, records, state)


def facts(entries: list[Entry]) -> list[tuple]:
    """Return what records are, to compare."""
    return [(each.number, each.kind, each.last, each.message) for each in entries]


def fill(journal: Journal, records: int, size: int = 100) -> None:
    """Append so many frames of one record each."""
    for number in range(journal.last + 1, journal.last + 1 + records):
        journal.write(frame(number, bytes([number % 256]) * size, position=number))


def test_a_frame_of_the_older_form_is_read():
    """Without reach any of its records may have been sent."""
    new = frame(5, b"one", b"two")
    body = pack(new)[12:]
    body = body[:24] + body[32:]
    older = unpack(b"TMf1" + struct.pack("<II", len(body), zlib.crc32(body)) + body)
    assert facts(older.records) == facts(new.records)
    assert older == dataclasses.replace(new, reach=6, records=older.records)


def everything(journal: Journal, number: int = 1, max_bytes: int = 1000) -> list[Entry]:
    """Read from a number to the end, some at a time."""
    found: list[Entry] = []
    while more := journal.read(number, max_bytes):
        found += more
        number = more[-1].number + 1
    return found


# --- frames ---------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 1 << 60), st.binary())
def test_a_frame_comes_back_as_it_was(messages, first, state):
    """Marks, state, and every record with its kind, number and flag."""
    made = frame(first, *messages, position=1 << 50, state=state)
    read = unpack(pack(made))
    assert (read.position, read.base, read.acknowledged, read.first) == (1 << 50, 7, 3, first)
    assert read.state == state
    assert facts(read.records) == facts(made.records)


@given(st.data())
def test_a_frame_of_which_any_byte_is_wrong_or_missing_is_none(data):
    """A torn write, a flipped bit: it is not taken for what was written."""
    whole = pack(frame(1, b"one", b"two", state=b'{"a":1}'))
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ValueError, match="frame"):
        unpack(whole[:cut])
    place, flip = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(1, 255))
    wrong = bytearray(whole)
    wrong[place] ^= flip
    with pytest.raises(ValueError, match="frame"):
        unpack(bytes(wrong))


# --- segments -------------------------------------------------------------------------------------


def test_what_was_written_is_read_back_in_order_by_whoever_comes_next(tmp_path):
    """Over many segments, from any number on, also by another process later."""
    journal = Journal(tmp_path, 1000)
    fill(journal, 50)
    journal.close()
    again = Journal(tmp_path, 1000)
    assert (again.last, again.newest.position, again.newest.base) == (50, 50, 7)
    assert len(list(tmp_path.iterdir())) > 5
    for start in (1, 2, 17, 50):
        assert [each.number for each in everything(again, start)] == list(range(start, 51))
    assert again.read(51, 1000) == []
    fill(again, 5)
    assert [each.number for each in everything(again, 51)] == [51, 52, 53, 54, 55]
    assert again.bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    again.close()


def test_segments_go_when_all_their_records_are_acknowledged(tmp_path):
    """Not before; the one that is written stays, with the newest marks."""
    journal = Journal(tmp_path, 1000)
    fill(journal, 50)
    before = journal.bytes
    journal.acknowledge(20)
    assert 1 < journal.first <= 21
    assert [each.number for each in everything(journal, 21)] == list(range(21, 51))
    journal.acknowledge(50)
    assert journal.bytes < before / 5
    assert len(list(tmp_path.iterdir())) == 1
    journal.close()
    again = Journal(tmp_path, 1000)
    assert (again.last, again.newest.position) == (50, 50)
    again.close()


@pytest.mark.parametrize("seed", range(10))
def test_a_write_cut_short_anywhere_leaves_what_was_whole(tmp_path, seed):
    """What the last frame began to say is gone; the next one is written in its place."""
    rng = random.Random(seed)
    journal = Journal(tmp_path, 1000)
    fill(journal, rng.randrange(1, 30))
    journal.close()
    newest = max(tmp_path.iterdir())
    data = pack(frame(journal.last + 1, bytes(rng.randrange(1, 500))))
    with newest.open("ab") as file:
        file.write(data[: rng.randrange(1, len(data))])
    again = Journal(tmp_path, 1000)
    assert again.torn_bytes > 0
    assert again.last == journal.last
    fill(again, 3)
    assert [each.number for each in everything(again)] == list(range(1, journal.last + 4))
    again.close()


def test_a_segment_without_one_whole_frame_is_dropped(tmp_path):
    """Its relay was killed at its first write."""
    journal = Journal(tmp_path, 1000)
    fill(journal, 3)
    journal.close()
    (tmp_path / "00000007-4.frames").write_bytes(b"TM")
    again = Journal(tmp_path, 1000)
    assert again.last == 3
    assert again.torn_bytes == 2
    assert len(list(tmp_path.iterdir())) == 1
    again.close()


def test_what_is_corrupt_in_the_middle_costs_the_rest_of_its_segment_only(tmp_path):
    """What cannot be read is counted; everything before and behind it comes."""
    journal = Journal(tmp_path, 1000)
    fill(journal, 50)
    segments = sorted(tmp_path.iterdir())
    damaged = segments[2]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 0xFF
    damaged.write_bytes(data)
    numbers = [each.number for each in everything(journal)]
    assert 0 < journal.lost < 10
    assert len(numbers) == 50 - journal.lost
    assert numbers == sorted(numbers)
    assert {1, 50} <= set(numbers)
    journal.close()


def test_corruption_in_the_segment_that_is_written_does_not_hide_what_comes_later(tmp_path):
    """Records behind it are lost and counted; new ones go to a segment of their own."""
    journal = Journal(tmp_path, 1 << 20)
    fill(journal, 10)
    [path] = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    found = [each.number for each in everything(journal)]
    assert found == list(range(1, len(found) + 1))
    assert journal.lost == 10 - len(found) > 0
    fill(journal, 2)
    assert [each.number for each in everything(journal, 11)] == [11, 12]
    journal.close()


def test_a_write_that_fails_changes_nothing(tmp_path, monkeypatch):
    """No half frame is in the way of the next one, whichever error it was and how far it came."""
    journal = Journal(tmp_path, 1 << 20)
    fill(journal, 3)
    real = os.pwrite
    for written in (0, 1, 40):

        def fails(descriptor: int, data: bytes, offset: int, written: int = written) -> int:
            real(descriptor, data[:written], offset)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "pwrite", fails)
        with pytest.raises(OSError, match="No space"):
            journal.write(frame(4, b"four"))
        monkeypatch.setattr(
            os, "pwrite", lambda *given: min(10, real(given[0], given[1][:10], given[2]))
        )
        with pytest.raises(OSError, match="could be written"):
            journal.write(frame(4, b"four" * 100))
        monkeypatch.setattr(os, "pwrite", real)
        assert journal.last == 3
    fill(journal, 1)
    assert [each.number for each in everything(journal)] == [1, 2, 3, 4]
    journal.close()


# --- the folder -----------------------------------------------------------------------------------


def test_a_spool_has_one_owner(tmp_path):
    """The second is told who has it, and gets it as soon as the first has let go."""
    first = Spool.of(tmp_path, "producer", 1 << 20)
    with pytest.raises(SpoolBusyError) as busy:
        Spool.of(tmp_path, "producer", 1 << 20)
    assert busy.value.holder == os.getpid()
    assert abandoned(tmp_path) == []
    first.close()
    assert abandoned(tmp_path) == [first.folder]
    second = Spool.of(tmp_path, "producer", 1 << 20)
    second.remove()
    assert list(folders_in(tmp_path)) == []


def test_who_waits_for_a_spool_that_is_removed_gets_a_new_one(tmp_path, monkeypatch):
    """A lock on a file that is gone would be held by two."""
    spool = Spool.of(tmp_path, "producer", 1 << 20)
    real = fcntl.flock
    removed = []

    def removing(descriptor: int, flags: int) -> None:
        if not removed:  # between opening and locking
            removed.append(True)
            spool.remove()
        real(descriptor, flags)

    monkeypatch.setattr(fcntl, "flock", removing)
    other = Spool.of(tmp_path, "producer", 1 << 20)
    assert (other.folder / "lock").exists()
    with pytest.raises(SpoolBusyError):
        Spool.of(tmp_path, "producer", 1 << 20)
    other.remove()


def test_whose_records_they_are_is_kept_and_checked(tmp_path):
    """A file that was damaged is none."""
    spool = Spool.of(tmp_path, "producer", 1 << 20)
    assert spool.run is None
    run = SavedRun(RegisterTrainingSessionRequest(run_key="k", session_id="s"), 12.5)
    spool.keep_run(run)
    spool.close()
    again = Spool.of(tmp_path, "producer", 1 << 20)
    assert again.run == run
    again.close()
    path = spool.folder / "run"
    path.write_bytes(path.read_bytes()[:-1])
    broken = Spool.of(tmp_path, "producer", 1 << 20)
    assert broken.run is None
    broken.close()


@pytest.mark.parametrize("name", ["", "..", "a/b", "x" * 300, "\0", "ä"])
def test_no_name_of_a_producer_leads_out_of_the_folder(tmp_path, name):
    """A stranger's may hold anything."""
    spool = Spool.of(tmp_path, name, 1 << 20)
    assert spool.folder.parent == tmp_path / "spool"
    assert len(spool.folder.name) == 64
    spool.close()


def test_the_folder_is_for_its_owner_only(tmp_path):
    """Pictures and settings of a run are nobody else's."""
    spool = Spool.of(tmp_path, "producer", 1 << 20)
    assert spool.folder.stat().st_mode & 0o077 == 0
    spool.close()


def test_what_lies_beside_spools_is_none(tmp_path):
    """A file, a link to a folder elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "file").write_text("")
    (tmp_path / "spool" / "link").symlink_to(tmp_path / "elsewhere")
    assert list(folders_in(tmp_path)) == []
    assert list(folders_in(Path("/nonexistent"))) == []


def test_the_last_room_of_a_disk_is_left_to_others(tmp_path, monkeypatch):
    """A checkpoint may need it; once there is more again the spool is written again."""
    spool = Spool.of(tmp_path, "producer", 1 << 20)
    disk = os.statvfs(tmp_path)
    free = {"blocks": 10}

    class Disk:
        f_blocks, f_frsize = disk.f_blocks, disk.f_frsize

        @property
        def f_bavail(self) -> int:
            return free["blocks"]

    monkeypatch.setattr(os, "statvfs", lambda _: Disk())
    with pytest.raises(OSError, match="MiB are left to others"):
        spool.write(frame(1, b"one"))
    free["blocks"] = disk.f_blocks
    spool._looked_s = float("-inf")
    spool.write(frame(1, b"one"))
    assert spool.journal.last == 1
    spool.close()
