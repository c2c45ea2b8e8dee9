"""What a session has handed over when it ends is on disk, and its relay is needed no more."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

import trainmon
from stack import eventually
from trainmon.channel import Word
from trainmon.config import Settings
from trainmon.relay.entry import RecordKind, metrics_of
from trainmon.relay.handover import Handover
from trainmon.relay.spool.journal import Journal

#: Nobody listens there.
NOWHERE = "127.0.0.1:9"
STEPS = 100


def test_when_close_returns_the_goodbye_is_on_disk() -> None:
    """With no monitor the end does not wait for one, but for the spool: then all may be killed."""
    settings = Settings.from_environment(monitor=NOWHERE, exit_timeout_s=60, relay_linger_s=60)
    session = trainmon.start_session("kept", settings=settings)
    for step in range(STEPS):
        session.batch_end(loss=float(step))
    relay = session.relay_pid
    assert relay is not None
    session.close("STOPPED", "enough")
    os.kill(relay, signal.SIGKILL)
    assert_all_is_kept()


def test_a_relay_that_is_killed_while_the_training_ends_leaves_it_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The training waits for it: it has all that is not on disk yet."""
    settings = Settings.from_environment(monitor=NOWHERE, exit_timeout_s=60, relay_linger_s=60)
    session = trainmon.start_session("kept", settings=settings)
    relay, wait = session.relay_pid, session._relay.wait
    assert relay is not None
    eventually(lambda: session._channel.block.words[Word.RELAY_ALIVE_NS], "a relay that looks")
    os.kill(relay, signal.SIGSTOP)
    for step in range(STEPS):
        session.batch_end(loss=float(step))

    others: list[int] = []

    def killed(timeout_s: float) -> None:
        with suppress(ProcessLookupError):
            os.kill(relay, signal.SIGKILL)
        wait(timeout_s)
        others.append(session.relay_pid or 0)

    monkeypatch.setattr(session._relay, "wait", killed)
    session.close("STOPPED", "enough")
    os.kill(others[-1], signal.SIGKILL)
    assert_all_is_kept()


def assert_all_is_kept() -> None:
    """Look whether every step and the goodbye are on disk."""
    [folder] = Path(os.environ["TRAINMON_HOME"], "spool").iterdir()
    journal = Journal(folder, 1 << 20)
    entries = journal.read(1, 1 << 30)
    journal.close()
    steps = [
        step
        for entry in entries
        if entry.kind is RecordKind.SCALARS
        for series in metrics_of(entry).series
        for step in series.steps
    ]
    assert steps == [*map(float, range(STEPS))]
    assert entries[-1].last
    assert Handover.unpack(journal.newest.state).over


def test_counts_have_what_the_relay_refused() -> None:
    """A run that nobody sees tells in Python how much of it was merged or refused."""
    settings = Settings.from_environment(
        monitor=NOWHERE,
        exit_timeout_s=60,
        relay_linger_s=0,
        spool_bytes=1 << 18,
        buffer_bytes=1 << 18,
    )
    with trainmon.start_session("kept", settings=settings) as session:
        assert session.counts["refused_by_relay"] == session.counts["merged_by_relay"] == 0
        metrics = {f"metric {index}": float(index) for index in range(50)}

        def merged() -> int:
            for _ in range(100):
                session.batch_end(loss=1.0, metrics=metrics)
            return session.counts["merged_by_relay"]

        eventually(merged, "rows were merged")
