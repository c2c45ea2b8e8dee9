"""The courier: a thread that sleeps on the ranks' store and carries what they say to each other.

It alone touches the store. What it brings lies in ``inbox``, in the order of the minutes, until the
training's thread comes by at a control point; what that has to say it leaves here and goes on.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from trainmon._guard import describe
from trainmon.capture.ranks.minutes import Entry, Minutes, Said
from trainmon.capture.ranks.store import Store

__all__ = ["Courier", "Timing"]

_ENDS_PAUSE = ("resume", "stop")


@dataclass(frozen=True)
class Timing:
    """How long what may take, in seconds."""

    idle_s: float = 0.05
    """Between two looks at the store."""
    busy_s: float = 0.01
    """The same while a proposal is under way."""
    beat_s: float = 1.0
    """Between two signs of life."""
    silent_s: float = 5.0
    """Without one a rank counts as gone."""
    join_s: float = 10.0
    """How long commands wait for ranks that have not joined."""
    lead_s: float = 0.2
    """How far ahead a command is proposed."""
    hold_s: float = 2.0
    """How long a rank waits for a decision at the step it is for."""
    lost_s: float = 15.0
    """How long it then waits for that to be called off, before it gives the store up."""
    farewell_s: float = 0.4
    """How long rank 0, which may hold the store, waits at its end until the others are done."""

    def of_world(self, world_size: int) -> Timing:
        """Return the same for so many ranks: one store can answer only so often."""
        idle_s = max(self.idle_s, world_size * 0.2e-3)
        return replace(self, idle_s=idle_s, lead_s=max(self.lead_s, 4 * idle_s))


class Courier:
    """Carries what the ranks say.

    Args:
        store: Shared by all; this object's alone to use.
        rank: Of this process.
        world_size: Ranks of the run.
        timing: How long what may take.
        usable: Returns whether the store may still be touched.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        store: Store,
        rank: int,
        world_size: int,
        timing: Timing,
        usable: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self.rank = rank
        self.world_size = world_size
        self.timing = timing.of_world(world_size)
        self._usable = usable
        self.clock = clock
        self._minutes = Minutes(store)
        self.inbox: deque[tuple[int, Entry]] = deque()
        self._outbox: deque[Entry] = deque()
        self._votes: deque[tuple[int, str]] = deque()
        self._arrived = threading.Event()
        self._called = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False
        self.lost = ""
        """Why nothing can be agreed any more; empty while it can."""
        self.turned_s = clock()
        """When the store was last seen to answer, by ``clock``."""
        self._started_s = clock()
        self._complete = world_size == 1
        self._open: tuple[int, Entry] | None = None
        self._paused = False
        self._beats = 0
        self._beat_s = float("-inf")
        self._life: dict[int, tuple[str, float]] = {}
        self._gone: set[int] = set()

    # What the training's thread calls. Nothing here waits for the store.

    def start(self) -> None:
        """Start the thread. Where there can be no more of them, nothing can be agreed."""
        self._thread = threading.Thread(target=self._run, name="trainmon-ranks", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            self.give_up(f"no thread could be started: {error}")

    def post(self, entry: Entry) -> None:
        """Have an entry written into the minutes."""
        self._outbox.append(entry)
        self._called.set()

    def vote(self, number: int, refused: Mapping[str, str]) -> None:
        """Have this rank's vote on a proposal written: the commands it refuses, and why."""
        self._votes.append((number, json.dumps(dict(refused))))
        self._called.set()

    def wait(self, timeout_s: float) -> None:
        """Wait until something lies in the inbox, or the time is over."""
        self._arrived.clear()
        if not self.inbox and not self.lost:
            self._arrived.wait(timeout_s)

    def give_up(self, reason: str) -> None:
        """Use the store no more."""
        self.lost = self.lost or reason
        self._arrived.set()
        self._called.set()

    def close(self, timeout_s: float) -> None:
        """Tell the others that this rank leaves, and end; wait at most so long."""
        self._closing = True
        self._called.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    # The thread.

    def _run(self) -> None:
        try:
            while not self._closing and not self.lost:
                if not self._usable():
                    self.give_up("the process group was destroyed")
                    break
                self.turn()
                self._called.wait(self._rest_s())
                self._called.clear()
            self._say_goodbye()
        # Law 1, and a stranger's store: whatever happens to it, the training only hears of it.
        except Exception as error:  # noqa: BLE001 - the door of the ranks' store; told by the council
            self.give_up(
                f"the store that the ranks share has failed ({describe(error)[:200]}); the process "
                "that holds it, as a rule rank 0 or torchrun, may have died"
            )

    def _rest_s(self) -> float:
        waits = self._open is not None or self._outbox or self._votes
        return self.timing.busy_s if waits else self.timing.idle_s

    def turn(self) -> None:
        """Look once: read what is new, write what is to be written."""
        self._beat()
        self._read()
        while self._votes:
            number, text = self._votes.popleft()
            self._store.write(f"vote/{number}/{self.rank}", text)
        for _ in range(len(self._outbox)):  # a proposal may be put back
            self._write(self._outbox.popleft())
        self._collect()
        self._read()
        self.turned_s = self.clock()

    def _read(self) -> None:
        while not self.lost and (found := self._minutes.read()) is not None:
            self._take_note(*found)
            self.inbox.append(found)
            self._arrived.set()

    def _take_note(self, number: int, entry: Entry) -> None:
        if entry.kind == Said.PROPOSE:
            if self._open is None and not self._gone:
                self._open = number, entry
        elif entry.kind in (Said.DECIDE, Said.ABORT):
            self._close(entry)
        elif entry.kind == Said.GONE:
            self._gone.add(entry.rank)
            self._open, self._paused = None, False
            if entry.rank == self.rank:
                self.post(Entry(Said.BACK, self.rank, rank=self.rank))
        elif entry.kind == Said.BACK:
            self._gone.discard(entry.rank)
            self._life.pop(entry.rank, None)
        elif entry.kind == Said.LEFT:
            self._open = None
            self.give_up(f"rank {entry.rank} has ended its session")

    def _close(self, entry: Entry) -> None:
        if self._open is None or self._open[0] != entry.about:
            return
        commands, self._open = self._open[1].commands, None
        if entry.kind == Said.DECIDE:
            for command in commands:
                if command["command_id"] not in entry.refused:
                    kind = command["kind"]
                    self._paused = kind == "pause" or (self._paused and kind not in _ENDS_PAUSE)

    def _write(self, entry: Entry) -> None:
        if entry.kind == Said.PROPOSE and not self._all_joined(entry):
            return
        while not self.lost and not self._minutes.append(entry):
            self._read()

    def _all_joined(self, entry: Entry) -> bool:
        """Return whether all ranks have; else the proposal waits, or is refused."""
        if self._have_all_joined():
            return True
        if self.clock() - self._started_s < self.timing.join_s:
            self._outbox.append(entry)
            return False
        joined = [each for each in range(self.world_size) if self._store.has([f"alive/{each}"])]
        reason = (
            f"{len(joined)} of {self.world_size} ranks have joined: a command would hold those and "
            "not the others; see to it that trainmon runs on every rank"
        )
        refusal = Entry(Said.ABORT, self.rank, key=entry.key, reason=reason)
        self.inbox.append((-1, refusal))
        self._arrived.set()
        return False

    def _have_all_joined(self) -> bool:
        if not self._complete:
            self._complete = self._store.has([f"alive/{each}" for each in range(self.world_size)])
        return self._complete

    # Votes on an own proposal.

    def _collect(self) -> None:
        if self._open is None or self._open[1].by != self.rank:
            return
        number = self._open[0]
        votes = [f"vote/{number}/{each}" for each in range(self.world_size)]
        if not self._store.has(votes):
            return
        refused: dict[str, str] = {}
        for rank, key in enumerate(votes):
            for command_id, reason in json.loads(self._store.read(key)).items():
                told = reason if rank == self.rank else f"rank {rank}: {reason}"
                refused.setdefault(command_id, told)
        self._write(Entry(Said.DECIDE, self.rank, about=number, refused=refused))

    # Signs of life.

    def _beat(self) -> None:
        now_s = self.clock()
        if now_s - self._beat_s < self.timing.beat_s:
            return
        if now_s - self._beat_s > self.timing.silent_s:
            self._life.clear()  # this process itself stood still: what it saw is of no use
        self._beat_s = now_s
        self._beats += 1
        self._store.write(f"alive/{self.rank}", str(self._beats))
        self._watch(now_s)

    def _watch(self, now_s: float) -> None:
        """Look after the next rank: whoever of several dies, one that lives notices."""
        rank = (self.rank + 1) % self.world_size
        if rank == self.rank or rank in self._gone or not self._store.has([f"alive/{rank}"]):
            return
        beat = self._store.read(f"alive/{rank}")
        seen = self._life.get(rank)
        if seen is None or seen[0] != beat:
            self._life[rank] = beat, now_s
        elif now_s - seen[1] > self.timing.silent_s and (self._open is not None or self._paused):
            reason = f"rank {rank} has shown no sign of life for {now_s - seen[1]:.0f} s"
            self._write(Entry(Said.GONE, self.rank, rank=rank, reason=reason))

    # The end.

    def _say_goodbye(self) -> None:
        """Touch the store for the last time; whoever may hold it for the others waits for them."""
        if not self._usable():
            return
        if self._closing and not self.lost:
            self._read()
            self._write(Entry(Said.LEFT, self.rank, rank=self.rank))
        self._store.write(f"done/{self.rank}", "1")
        if self.rank == 0:
            deadline_s = self.clock() + self.timing.farewell_s
            others = [f"done/{each}" for each in range(1, self.world_size)]
            joined = self._have_all_joined()
            while joined and not self._store.has(others) and self.clock() < deadline_s:
                time.sleep(self.timing.busy_s)
