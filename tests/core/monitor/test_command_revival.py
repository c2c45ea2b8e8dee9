"""Commands that an earlier monitor had on record, whatever the clocks did meanwhile."""

from __future__ import annotations

import pytest

from trainmon.monitor.clock import Clock
from trainmon.monitor.commands import CommandBook
from trainmon.v1.control_pb2 import (
    CommandRecord,
    CommandResult,
    CommandState,
    ControlCommand,
    Pause,
)

RECORDED = CommandState.COMMAND_STATE_RECORDED
SENT = CommandState.COMMAND_STATE_SENT
UNCONFIRMED = CommandState.COMMAND_STATE_UNCONFIRMED
ACCEPTED = CommandState.COMMAND_STATE_ACCEPTED
APPLIED = CommandState.COMMAND_STATE_APPLIED
EXPIRED = CommandState.COMMAND_STATE_EXPIRED
NOW_MS = 1_700_000_000_000


class Set(Clock):
    """Clocks that a test sets."""

    def __init__(self, wall_ms=NOW_MS):
        self.at = 50.0
        self.wall = wall_ms

    def monotonic(self):
        return self.at

    def wall_ms(self):
        return self.wall


def record(state, age_ms=0, time_to_live_ms=None):
    """Return the record of a command of some age."""
    command = ControlCommand(command_id="a", pause=Pause(), time_to_live_ms=time_to_live_ms)
    made = CommandRecord(session_id="s", command=command, state=state)
    made.transitions.add(state=RECORDED, timestamp_ms=NOW_MS - age_ms)
    if state != RECORDED:
        made.transitions.add(state=state, timestamp_ms=NOW_MS - age_ms)
    return made


def revived(clock, kept):
    """Return a book with a command of an earlier monitor."""
    book = CommandBook("s", clock, lambda _: None)
    book.restore([kept])
    return book


@pytest.mark.parametrize("state", [SENT, ACCEPTED])
def test_what_was_on_its_way_is_unconfirmed(state):
    """Whether it arrived is not known, and however long ago, only the training may expire it."""
    book = revived(Set(), record(state, age_ms=10**6, time_to_live_ms=10))
    book.check()
    assert book.get("a").state == UNCONFIRMED
    assert "restarted" in book.get("a").transitions[-1].message
    assert book.unsent() == ["a"]
    assert book.to_send("a").time_to_live_ms == 0
    book.answered(CommandResult(command_id="a", state=APPLIED))
    book.answered(CommandResult(command_id="a", state=EXPIRED))
    assert book.get("a").state == APPLIED


@pytest.mark.parametrize(
    ("wall_ms", "left_ms"),
    [
        (NOW_MS, 7000),
        (NOW_MS + 4000, 3000),
        (NOW_MS - 1000, 8000),
        (NOW_MS - 3000, 10_000),
        (NOW_MS - 10**9, 10_000),
    ],
)
def test_what_was_not_sent_keeps_the_time_it_has_left(wall_ms, left_ms):
    """It goes on from when it was recorded; a clock set back never makes it longer than it was."""
    clock = Set(wall_ms)
    book = revived(clock, record(RECORDED, age_ms=3000, time_to_live_ms=10_000))
    assert book.to_send("a").time_to_live_ms == left_ms
    clock.at += left_ms / 1000
    book.check()
    assert book.get("a").state == EXPIRED


def test_a_clock_set_ahead_expires_it_at_once():
    """What should long be over is not sent."""
    book = revived(Set(NOW_MS + 10**9), record(RECORDED, time_to_live_ms=10_000))
    book.check()
    assert book.get("a").state == EXPIRED
    assert book.to_send("a") is None


def test_what_does_not_expire_waits():
    """Stop and pause have no time to live, whatever the clock says."""
    book = revived(Set(NOW_MS + 10**12), record(RECORDED))
    book.check()
    assert book.get("a").state == RECORDED
    assert book.to_send("a") is not None


def test_what_has_ended_stays_as_it_is():
    """An end is an end."""
    told = []
    book = CommandBook("s", Set(), told.append)
    book.restore([record(APPLIED)])
    assert book.unsent() == []
    assert not told
    assert [each.state for each in book] == [APPLIED]
