"""The other ranks of a run, as the control point of one deals with them, joined or not."""

from __future__ import annotations

from collections.abc import Callable

from trainmon._guard import describe
from trainmon.capture.ranks.council import Council, Hands
from trainmon.capture.ranks.courier import Courier, Timing
from trainmon.capture.ranks.group import Group, find_group
from trainmon.events import ControlCommand

__all__ = ["Peers"]


class Peers:
    """Joins the ranks once their process group is there; until then refuses what needs them.

    Args:
        hands: Of this rank.
        world_size: Ranks of the run, as far as is known.
        find: Returns the process group; None: there is none yet.
        timing: How long what may take.
    """

    def __init__(
        self,
        hands: Hands,
        world_size: int,
        find: Callable[[], Group | None] = find_group,
        timing: Timing | None = None,
    ) -> None:
        self._hands = hands
        self._world_size = world_size
        self._find = find
        self._timing = timing or Timing()
        self._council: Council | None = None
        self._looked = False
        self._problem = ""
        self.alone = False
        """Whether a control point has nobody to agree with: asked first, to spare a visit."""

    @property
    def joined(self) -> bool:
        """Whether this rank sits in the council of the ranks."""
        return self._council is not None

    def needed(self) -> bool:
        """Return whether a command is the affair of several ranks."""
        if not self._looked:
            self.join()
        return self._council is not None or self._world_size > 1

    def join(self) -> None:
        """Join the ranks if there is a process group; do nothing where that was done."""
        if self._council is not None or self._problem:
            return
        self._looked = True
        self.alone = self._world_size == 1
        try:
            group = self._find()
        except Exception as error:  # noqa: BLE001 - law 1, and a stranger's store; told with refusals
            self._problem = f"the process group's store cannot be used: {describe(error)}"
            return
        if group is not None:
            self.alone = False
            courier = Courier(group.store, group.rank, group.world_size, self._timing, group.usable)
            self._council = Council(courier, self._hands)
            courier.start()

    def visit(self, step: int) -> None:
        """Take part, at a control point; waits where this rank has come to a step undecided."""
        if self.alone:
            return
        council = self._council
        if council is None:
            self.join()
            council = self._council
            if council is None:
                return
        while council.visit(step):
            council.rest()

    def ask(self, command: ControlCommand) -> None:
        """Have a command carried out on every rank, or on none."""
        if self._council is not None:
            self._council.ask(command)
        else:
            why = self._problem or "there is no torch.distributed process group to agree through"
            self._hands.refuse(
                command,
                f"this run has {self._world_size} ranks, which must all do this at the same step, "
                f"but {why}",
            )

    def rest(self) -> bool:
        """Wait a little for news of the ranks; False: there is nobody to wait for."""
        if self._council is None or self._council.lost:
            return False
        self._council.rest()
        return True

    def close(self, timeout_s: float) -> None:
        """Leave the ranks, and wait at most so long for it."""
        self._looked, self._world_size, self.alone = True, 1, True
        council, self._council = self._council, None
        if council is not None:
            council.close(timeout_s)
