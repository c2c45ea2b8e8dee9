"""Ranks in one process: a store in memory, trainings that only count, no thread.

A test moves every part one step at a time, so any interleaving can be had, and had again.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from memory_store import MemoryStore
from trainmon.capture.ranks.council import Council
from trainmon.capture.ranks.courier import Courier, Timing
from trainmon.events import ControlCommand, ControlKind

TIMING = Timing(lead_s=0.2, hold_s=2, silent_s=5, lost_s=15, join_s=10)


class Rank:
    """One rank: a training that counts steps, its seat in the council, and its courier.

    Attributes:
        done: Step at which each command was carried out, by its id.
        refused: Why each command that was asked of this rank was not.
    """

    def __init__(
        self, store: MemoryStore, rank: int, world: int, clock: Callable[[], float]
    ) -> None:
        self.courier = Courier(store, rank, world, TIMING, clock=clock)
        self.council = Council(self.courier, self, clock)
        self.step = 0
        self.paused = False
        self.stopped = False
        self.alive = True
        self.objects = ""
        self.done: dict[str, int] = {}
        self.order: list[str] = []
        self.refused: dict[str, str] = {}
        self.asked = 0
        self.left_pause = ""
        self.doubts: list[str] = []

    def objection(self, command: ControlCommand) -> str:
        if command.kind is ControlKind.RESUME and not self.paused:
            return "not paused"
        return self.objects

    def expired(self, command: ControlCommand) -> bool:
        return False

    def carry_out(self, command: ControlCommand) -> None:
        assert command.command_id not in self.done
        self.done[command.command_id] = self.step
        self.order.append(command.command_id)
        if command.kind is ControlKind.PAUSE:
            self.paused = True
        elif command.kind is ControlKind.RESUME:
            self.paused = False

    def refuse(self, command: ControlCommand, reason: str) -> None:
        assert command.command_id not in self.refused
        self.refused[command.command_id] = reason

    def end_pause(self, reason: str) -> None:
        self.paused, self.left_pause = False, reason

    def doubt(self, reason: str) -> None:
        self.doubts.append(reason)

    def ask(self, kind: ControlKind = ControlKind.ADJUST_LEARNING_RATE) -> str:
        """Have a command asked of this rank; return its id."""
        self.asked += 1
        command = ControlCommand(f"{self.courier.rank}-{self.asked}", kind, value=0.5)
        self.council.ask(command)
        return command.command_id

    def go(self) -> None:
        """Come to the control point, and train a step where nothing holds."""
        if not self.council.visit(self.step) and not self.paused:
            self.step += 1


class World:
    """All ranks of a run, in lockstep as collectives keep them, and the time."""

    def __init__(self, size: int) -> None:
        self.now_s = 0.0
        self.store = MemoryStore()
        self.ranks = [Rank(self.store, each, size, lambda: self.now_s) for each in range(size)]

    @property
    def living(self) -> list[Rank]:
        return [each for each in self.ranks if each.alive]

    def may_go(self, rank: Rank) -> bool:
        """Whether no collective of the step before holds it: nobody is more than a step behind."""
        return all(other.step >= rank.step for other in self.living)

    def round(self, seconds: float = 0.05) -> None:
        """Let some time pass in which every part comes by."""
        for rank in self.living:
            rank.courier.turn()
        for rank in self.living:
            if self.may_go(rank):
                rank.go()
        self.now_s += seconds

    def until(self, reached: Callable[[], object], rounds: int = 2000) -> None:
        """Go on until something is so."""
        for _ in range(rounds):
            if reached():
                return
            self.round()
        raise AssertionError(f"not within {rounds} rounds")


@pytest.fixture
def world() -> Callable[[int], World]:
    """Make the ranks of a run that has trained a few steps."""

    def make(size: int) -> World:
        made = World(size)
        made.until(lambda: min(each.step for each in made.ranks) > 3)
        return made

    return make
