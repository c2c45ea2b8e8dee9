"""The council: how the ranks of a run carry out a command at the same step, without a collective.

A command reaches one rank. That rank proposes it for a step some way ahead; every rank votes at its
next control point, with what its own adapter says against it; with all votes in, the decision is
written; and each rank carries the command out when it comes to that step. A rank that voted waits
at that step until it knows. So either all ranks carry a command out at that step, or none does:

- A rank that is already past the step calls the proposal off, and it is made again, twice as far
  ahead. So does, after a bounded wait, a rank that came to the step undecided.
- In a pause all ranks stand at one step: what is agreed there takes effect at once.
- A rank that shows no sign of life ends every pause, and calls off what is undecided.

All of this runs on the training's thread, at its control points, from entries that every rank reads
in the same order. The courier, a thread, only carries them.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trainmon.capture.ranks.courier import Courier
from trainmon.capture.ranks.minutes import Entry, Said, command_from, command_record
from trainmon.capture.ranks.pace import StepPace
from trainmon.events import ControlCommand, ControlKind

__all__ = ["Council", "Hands"]

_NEVER = 2**63
_MOST_ATTEMPTS = 5
_MOST_AT_ONCE = 64
_MOST_WAITING = 1024
#: After these the next command may mean something else: they end what is proposed together.
_TURNS = (ControlKind.PAUSE, ControlKind.RESUME, ControlKind.STOP)


class Hands(Protocol):
    """What the council has done by the rank it sits in."""

    @property
    def paused(self) -> bool:
        """Whether this rank waits at a control point."""

    def objection(self, command: ControlCommand) -> str:
        """Return why this rank cannot carry it out; empty where it can. Changes nothing."""

    def expired(self, command: ControlCommand) -> bool:
        """Return whether its time to live has passed; then it has been told so."""

    def carry_out(self, command: ControlCommand) -> None:
        """Do it, now."""

    def refuse(self, command: ControlCommand, reason: str) -> None:
        """Tell that it will not be done."""

    def end_pause(self, reason: str) -> None:
        """End a pause that no command ended."""

    def doubt(self, reason: str) -> None:
        """Tell that other ranks may have carried out what this one has not."""


@dataclass
class _Motion:
    """Commands of this rank that are proposed together."""

    commands: Sequence[ControlCommand]
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    attempts: int = 0
    posted: bool = False


@dataclass
class _Item:
    """A proposal of any rank."""

    number: int
    entry: Entry
    commands: Sequence[ControlCommand]
    voted: bool = False
    called_off: bool = False
    """Whether this rank has said that it cannot be: then it is not waited for."""
    refused: Mapping[str, str] = field(default_factory=dict)


class Council:
    """One rank's seat; used by the training's thread alone.

    Args:
        courier: Carries what is said.
        hands: Of this rank.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, courier: Courier, hands: Hands, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._courier = courier
        self._hands = hands
        self._clock = clock
        self._pace = StepPace(clock)
        self._asked: deque[ControlCommand] = deque()
        self._motion: _Motion | None = None
        self._open: _Item | None = None
        self._due: deque[_Item] = deque()
        self._gone: dict[int, str] = {}
        self._next = _NEVER
        self._held_since_s: float | None = None
        self._asked_off = False
        self._parted = False

    @property
    def rank(self) -> int:
        """Of this process."""
        return self._courier.rank

    @property
    def world_size(self) -> int:
        """Ranks of the run."""
        return self._courier.world_size

    @property
    def lost(self) -> str:
        """Why nothing can be agreed any more; empty while it can."""
        return self._courier.lost

    def ask(self, command: ControlCommand) -> None:
        """Take in a command that came to this rank."""
        if len(self._asked) < _MOST_WAITING:
            self._asked.append(command)
        else:
            self._hands.refuse(command, f"{_MOST_WAITING} commands wait for the ranks already")

    def close(self, timeout_s: float) -> None:
        """Leave: refuse what will not be done any more; wait at most so long for the courier."""
        reason = "the training ended before the ranks came to that step"
        for item in self._due:
            for command in item.commands:
                if command.command_id not in item.refused:
                    self._hands.refuse(command, reason)
        self._due.clear()
        self._give_up_motion(reason)
        while self._asked:
            self._hands.refuse(self._asked.popleft(), reason)
        self._courier.close(timeout_s)

    def rest(self) -> None:
        """Wait a little, for news; a store that answers no more is given up."""
        self._courier.wait(self._courier.timing.idle_s)
        silent_s = self._clock() - self._courier.turned_s
        if silent_s > self._courier.timing.lost_s:
            self._courier.give_up(f"the ranks' store has not answered for {silent_s:.0f} s")

    def visit(self, step: int) -> bool:
        """Take part, at a control point; costs next to nothing where nothing is said.

        Args:
            step: Global step that the next batch will end.

        Returns:
            Whether the rank must stay at this step and come again: see :meth:`rest`.
        """
        self._pace.mark(step)
        courier = self._courier
        if courier.inbox or self._asked or step >= self._next or self._motion or courier.lost:
            return self._confer(step)
        return False

    def _confer(self, step: int) -> bool:
        # Asked before the entries are read: those that were there before the end all count. Asked
        # after, a decision that came in between would be heard by the other ranks alone.
        lost = self._courier.lost
        # One entry at a time: what was decided takes effect before what was said after it is read.
        while self._read_one(step):
            self._apply(step)
        self._apply(step)
        if lost:
            self._part(lost)
        else:
            self._propose(step)
        must_stay = self._must_stay(step)
        self._next = min((each.entry.step for each in self._waiting()), default=_NEVER)
        return must_stay

    def _waiting(self) -> list[_Item]:
        return [*self._due, *([self._open] if self._open is not None else [])]

    # What is said.

    def _read_one(self, step: int) -> bool:
        if self._open is not None and not self._open.voted:
            self._vote(self._open, step)
        if not self._courier.inbox:
            return False
        number, entry = self._courier.inbox.popleft()
        if entry.kind == Said.PROPOSE:
            self._proposed(number, entry, step)
        elif number < 0:
            self._refused_here(entry)
        elif entry.kind in (Said.GONE, Said.BACK, Said.LEFT):
            self._presence(entry)
        elif self._open is not None and self._open.number == entry.about:
            item, self._open = self._open, None
            if entry.kind == Said.DECIDE:
                self._decided(item, entry)
            elif entry.kind == Said.ABORT:
                self._aborted(item, entry.reason, again=entry.again)
        return True

    def _proposed(self, number: int, entry: Entry, step: int) -> None:
        mine = self._motion is not None and entry.key == self._motion.key
        if self._gone:
            if mine:
                self._give_up_motion(next(iter(self._gone.values())))
        elif self._open is None:
            commands = [command_from(each) for each in entry.commands]
            self._open = _Item(number, entry, commands)
            self._vote(self._open, step)
        elif mine and self._motion is not None:  # another rank was faster: wait for its end
            self._motion.posted = False

    def _vote(self, item: _Item, step: int) -> None:
        entry = item.entry
        if entry.in_pause:
            if not self._hands.paused and step <= entry.step:
                return  # the pause is agreed, and this rank on its way to it
            possible = self._hands.paused and step == entry.step
        else:
            behind = self._due[-1].entry.step if self._due else -1
            possible = step < entry.step and behind < entry.step
        item.voted = True
        if not possible:
            item.called_off = True
            self._call_off(item, f"rank {self.rank} is already at step {step}")
            return
        objections = {each.command_id: self._hands.objection(each) for each in item.commands}
        refused = {name: reason for name, reason in objections.items() if reason}
        self._courier.vote(item.number, refused)

    def _call_off(self, item: _Item, reason: str) -> None:
        entry = Entry(Said.ABORT, self.rank, about=item.number, reason=reason, again=True)
        self._courier.post(entry)

    def _decided(self, item: _Item, entry: Entry) -> None:
        item.refused = entry.refused
        self._due.append(item)
        if self._is_mine(item):
            self._motion = None
            for command in item.commands:
                if command.command_id in item.refused:
                    self._hands.refuse(command, item.refused[command.command_id])

    def _is_mine(self, item: _Item) -> bool:
        return self._motion is not None and item.entry.key == self._motion.key

    def _aborted(self, item: _Item, reason: str, *, again: bool) -> None:
        motion = self._motion
        if motion is None or not self._is_mine(item):
            return
        motion.attempts += 1
        motion.posted = False
        if not again or motion.attempts >= _MOST_ATTEMPTS:
            self._give_up_motion(f"the ranks could not agree: {reason}")

    def _refused_here(self, entry: Entry) -> None:
        if self._motion is not None and entry.key == self._motion.key:
            self._give_up_motion(entry.reason)

    def _give_up_motion(self, reason: str) -> None:
        motion, self._motion = self._motion, None
        for command in motion.commands if motion is not None else ():
            self._refuse(command, reason)

    def _refuse(self, command: ControlCommand, reason: str) -> None:
        """Tell that a command is off; not where another rank's proposal of it is still to come."""
        decided = (
            each.command_id
            for item in self._due
            for each in item.commands
            if each.command_id not in item.refused
        )
        if command.command_id not in decided:
            self._hands.refuse(command, reason)

    # What takes effect.

    def _apply(self, step: int) -> None:
        # What was agreed in a pause may lie behind what is for a later step.
        ready = [each for each in self._due if step >= each.entry.step]
        for item in ready:
            self._due.remove(item)
            for command in item.commands:
                if command.command_id not in item.refused:
                    self._hands.carry_out(command)

    def _must_stay(self, step: int) -> bool:
        """Return whether this rank has voted for a step it has come to, and is not told yet."""
        item = self._open
        waits = item is not None and item.voted and not (item.called_off or item.entry.in_pause)
        if item is None or not waits or step < item.entry.step:
            self._held_since_s, self._asked_off = None, False
            return False
        now_s, timing = self._clock(), self._courier.timing
        if self._held_since_s is None:
            self._held_since_s = now_s
        held_s = now_s - self._held_since_s
        if held_s > timing.hold_s and not self._asked_off:
            self._asked_off = True
            self._call_off(item, f"rank {self.rank} came to step {step} undecided")
        if held_s > timing.lost_s:
            self._courier.give_up(f"the ranks' store has not answered for {held_s:.0f} s")
            self._part(self._courier.lost)
            return False
        return True

    # What is asked.

    def _propose(self, step: int) -> None:
        paused = self._hands.paused
        if self._open is not None or (self._due and not paused):
            return
        if self._motion is None:
            self._motion = self._next_motion()
        motion = self._motion
        if motion is None or motion.posted:
            return
        if self._gone:
            self._give_up_motion(next(iter(self._gone.values())))
            return
        motion.commands = [each for each in motion.commands if not self._hands.expired(each)]
        at = step if paused else self._pace.step_after(self._lead_s(motion))
        if not motion.commands:
            self._motion = None
        elif at is not None:
            motion.posted = True
            commands = [command_record(each) for each in motion.commands]
            entry = Entry(
                Said.PROPOSE, self.rank, motion.key, step=at, in_pause=paused, commands=commands
            )
            self._courier.post(entry)

    def _lead_s(self, motion: _Motion) -> float:
        return self._courier.timing.lead_s * 2.0**motion.attempts

    def _next_motion(self) -> _Motion | None:
        taken: list[ControlCommand] = []
        while self._asked and len(taken) < _MOST_AT_ONCE:
            taken.append(self._asked.popleft())
            if taken[-1].kind in _TURNS:
                break
        return _Motion(taken) if taken else None

    # Ranks that are no longer there.

    def _presence(self, entry: Entry) -> None:
        if entry.kind == Said.GONE:
            self._part_from(entry)
        elif entry.kind == Said.BACK:
            self._gone.pop(entry.rank, None)
        else:
            self._open = None  # behind this entry nothing is decided

    def _part_from(self, entry: Entry) -> None:
        """A rank is gone: end pauses, and those to come; what is undecided is off."""
        reason = f"{entry.reason}: it may have died"
        self._gone[entry.rank] = reason
        self._end_what_waits(reason)

    def _part(self, reason: str) -> None:
        """Nothing can be agreed any more: refuse what was asked, wait for nobody."""
        if not self._parted:
            self._parted = True
            self._courier.inbox.clear()
            if self._open is not None and self._open.voted and not self._open.called_off:
                self._hands.doubt(reason)
            self._end_what_waits(reason)
        self._give_up_motion(reason)
        while self._asked:
            self._refuse(
                self._asked.popleft(), f"the ranks can no longer agree on a command: {reason}"
            )

    def _end_what_waits(self, reason: str) -> None:
        item, self._open = self._open, None
        if item is not None and self._is_mine(item):
            self._give_up_motion(reason)
        for each in self._due:
            pauses = [c for c in each.commands if c.kind is ControlKind.PAUSE]
            for command in pauses:
                if command.command_id not in each.refused:
                    each.refused = {**each.refused, command.command_id: reason}
                    self._hands.refuse(command, reason)
        if self._hands.paused:
            self._hands.end_pause(reason)
