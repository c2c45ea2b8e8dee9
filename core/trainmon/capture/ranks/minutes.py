"""The minutes: what the ranks say to each other, in one order that is the same for all.

Each entry is a key with the next number, and the store lets only one rank claim a number. So every
rank reads the same entries in the same order and comes to the same conclusions from them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from trainmon.capture.ranks.store import Store
from trainmon.events import ControlCommand, ControlKind

__all__ = ["Entry", "Minutes", "Said", "command_from", "command_record"]


class Said:
    """What an entry is: its ``kind``."""

    PROPOSE = "propose"
    """``commands`` are to take effect at ``step``; the ranks vote."""
    DECIDE = "decide"
    """Proposal ``about`` holds, but for the commands in ``refused``."""
    ABORT = "abort"
    """Proposal ``about`` is off, because of ``reason``; ``again``: it may be tried once more."""
    GONE = "gone"
    """``rank`` shows no life any more: pauses end, what is undecided is off."""
    BACK = "back"
    """``rank`` lives after all."""
    LEFT = "left"
    """``rank`` has ended its session: from here on nothing can be agreed."""


@dataclass(frozen=True)
class Entry:
    """One entry of the minutes."""

    kind: str
    by: int
    """Rank that wrote it."""
    key: str = ""
    """Of a proposal: made by its rank, to know it again."""
    about: int = -1
    """Number of the proposal that is meant."""
    step: int = 0
    """Global step at which a proposal takes effect."""
    in_pause: bool = False
    """Whether it takes effect at once, all ranks being paused at that step."""
    commands: Sequence[Mapping[str, Any]] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why not, by command id."""
    rank: int = -1
    reason: str = ""
    again: bool = False

    def text(self) -> str:
        """Return it as the store keeps it."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Entry:
        """Return the entry of a text; what a newer trainmon added is left out."""
        told = json.loads(text)
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in told.items() if name in known})


class Minutes:
    """Reads and writes the entries.

    Args:
        store: Where they lie.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next = 0

    def read(self) -> tuple[int, Entry] | None:
        """Return the next entry and its number; None where there is none yet."""
        key = f"minutes/{self._next}"
        if not self._store.has([key]):
            return None
        number, self._next = self._next, self._next + 1
        return number, Entry.parse(self._store.read(key))

    def append(self, entry: Entry) -> bool:
        """Write an entry behind those that were read.

        Returns:
            Whether it is there, where :meth:`read` finds it like everyone's. False: another rank
            was faster, and what it wrote must be read first.
        """
        text = entry.text()
        return self._store.claim(f"minutes/{self._next}", text) == text


def command_record(command: ControlCommand) -> dict[str, Any]:
    """Return a command as an entry holds it. Its time to live is the proposer's affair."""
    given = asdict(replace(command, expires_at_s=None))
    record = {name: value for name, value in given.items() if value not in (None, "")}
    return {**record, "kind": command.kind.value}


def command_from(record: Mapping[str, Any]) -> ControlCommand:
    """Return the command of a record."""
    return ControlCommand(**{**record, "kind": ControlKind(record["kind"])})
