"""The ring: every record arrives once, in order, whole; a full ring refuses and loses nothing."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmon.channel import (
    Kind,
    RelayChannel,
    StepRecord,
    TrainerChannel,
    pack_json,
    pack_step,
    unpack,
)
from trainmon.channel.ring import RingReader, RingWriter


def ring(capacity: int) -> tuple[RingWriter, RingReader]:
    """Both ends of a ring."""
    view = memoryview(bytearray(128 + capacity))
    return RingWriter(view), RingReader(view)


@given(
    st.lists(st.one_of(st.binary(max_size=60), st.none()), max_size=200),
    st.integers(2, 40).map(lambda words: words * 8),
)
def test_reads_what_was_written(actions: list[bytes | None], capacity: int) -> None:
    """Whatever is written and read in whatever order: same records, same order, none twice."""
    writer, reader = ring(capacity)
    expected: deque[bytes] = deque()
    for action in actions:
        if action is None:
            record = reader.read()
            assert record == (expected.popleft() if expected else None)
            reader.release()
        elif writer.write(action):
            expected.append(action)
    while expected:
        assert reader.read() == expected.popleft()
    assert reader.read() is None


def test_refuses_when_full() -> None:
    """A full ring refuses a record, and takes it once something was released."""
    writer, reader = ring(64)
    assert writer.write(b"x" * 24)
    assert writer.write(b"y" * 24)
    assert not writer.write(b"z")
    assert reader.read() == b"x" * 24
    assert not writer.write(b"z")
    reader.release()
    assert writer.write(b"z")


def test_keeps_a_reserve() -> None:
    """A writer that respects a reserve leaves it to one that does not."""
    writer, _ = ring(64)
    assert writer.write(b"x" * 24, reserve=32)
    assert not writer.write(b"y" * 24, reserve=32)
    assert writer.write(b"z" * 24)


def test_unreleased_records_are_read_again() -> None:
    """What a dead reader had read and not released, the next reader gets."""
    view = memoryview(bytearray(128 + 64))
    writer, dead = RingWriter(view), RingReader(view)
    writer.write(b"one")
    assert dead.read() == b"one"
    assert RingReader(view).read() == b"one"


def test_gives_up_a_corrupt_record() -> None:
    """A record that never matches its checksum is skipped and counted, the next one is read."""
    view = memoryview(bytearray(128 + 128))
    writer, reader = RingWriter(view), RingReader(view)
    writer.write(b"broken..")
    writer.write(b"good")
    view[128 + 8] ^= 0xFF
    found = next(filter(None, (reader.read() for _ in range(200))))
    assert found == b"good"
    assert reader.corrupt == 1


def test_survives_kill_of_the_writer() -> None:
    """Records written by a process that was killed are all there, and nothing after them."""
    channel = TrainerChannel.create(1 << 16)
    script = (
        "import os, sys, signal\n"
        "from trainmon.channel import TrainerChannel\n"
        "from trainmon.channel.memory import SharedMemory\n"
        "fd, size = int(sys.argv[1]), int(sys.argv[2])\n"
        "channel = TrainerChannel(SharedMemory(fd, TrainerChannel.size(size)), size)\n"
        "for number in range(100): assert channel.records.write(str(number).encode())\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    descriptor = channel.memory.descriptor
    process = subprocess.run(
        [sys.executable, "-c", script, str(descriptor), str(channel.record_bytes)],
        pass_fds=(descriptor,),
        check=False,
        timeout=30,
    )
    assert process.returncode == -signal.SIGKILL
    relay = RelayChannel.attach(os.dup(descriptor), channel.record_bytes)
    assert [relay.records.read() for _ in range(101)] == [*(b"%d" % n for n in range(100)), None]
    relay.close()
    channel.close()


def test_a_write_within_a_write_is_refused() -> None:
    """A signal handler that writes while it interrupts a write breaks nothing: it is refused."""

    class Interrupted(bytes):
        """Calls the handler in the midst of the write."""

        def __len__(self) -> int:
            answers.append(writer.write(b"from the handler"))
            return super().__len__()

    writer, reader = ring(1024)
    answers: list[bool] = []
    assert writer.write(Interrupted(b"interrupted"))
    assert answers
    assert not any(answers)
    assert reader.read() == b"interrupted"
    assert reader.read() is None


def test_threads_write_one_at_a_time() -> None:
    """Records of four threads arrive whole, each thread's in its order."""
    writer, reader = ring(1 << 20)
    threads = [
        threading.Thread(
            target=lambda name=name: [writer.write(b"%d %d" % (name, n)) for n in range(2000)]
        )
        for name in range(4)
    ]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    found = [record.split() for record in iter(reader.read, None)]
    for name in range(4):
        assert [int(n) for who, n in found if int(who) == name] == list(range(2000))


finite_or_not = st.floats(allow_nan=True, allow_infinity=True)
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(
    st.builds(
        StepRecord,
        global_step=st.integers(0, 2**62),
        epoch=st.integers(0, 2**32 - 1),
        batch_index=st.integers(0, 2**62),
        time_ms=st.floats(0, 1e15),
        loss=st.none() | finite_or_not,
        optimizer_step=st.none() | st.integers(0, 2**62),
        attempt=st.integers(0, 2**32 - 1),
        metrics=st.dictionaries(names, finite_or_not, max_size=8),
    )
)
def test_a_step_comes_back_as_it_was(step: StepRecord) -> None:
    """Packing loses nothing: absent stays absent, NaN stays NaN, names keep any character."""
    kind, found = unpack(pack_step(**vars(step)))
    assert kind is Kind.STEP
    assert isinstance(found, StepRecord)
    for field in StepRecord.__dataclass_fields__:
        assert _same(getattr(found, field), getattr(step, field)), field


def _same(left: object, right: object) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(_same(left[name], right[name]) for name in left)
    if isinstance(left, float) and isinstance(right, float) and math.isnan(right):
        return math.isnan(left)
    return left == right


def test_json_records_hold_nan() -> None:
    """An epoch's NaN loss comes back as NaN, and what is no record is refused."""
    kind, fields = unpack(pack_json(Kind.EPOCH, {"average_loss": math.nan, "epoch": 3}))
    assert kind is Kind.EPOCH
    assert isinstance(fields, dict)
    assert math.isnan(fields["average_loss"])
    with pytest.raises(ValueError, match="not an object"):
        unpack(b"\x03[]")
    with pytest.raises(ValueError, match="99"):
        unpack(b"\x63{}")


def test_a_name_with_nought_in_it_keeps_to_itself():
    """Names are parted by NUL: in a name itself a space stands for it."""
    payload = pack_step(1, 0, 1, 1e12, None, None, 0, {"a\0b": 1.0, "c": 2.0})
    _, found = unpack(payload)
    assert found.metrics == {"a b": 1.0, "c": 2.0}
