"""What plugins did wrong, kept on disk so that ``trainmon plugins`` sees it from another process.

One small JSON file per plugin in ``TRAINMON_HOME/plugins``, the newest failure of each. It is a
help for people, never a reason to fail: what cannot be written is counted, what cannot be read is
left out.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

__all__ = ["FailureRecord", "FailureRecords"]

_MAX_FILES = 1000
_MAX_FILE_BYTES = 64 << 10


@dataclass(frozen=True)
class FailureRecord:
    """The newest failure of one plugin."""

    name: str
    distribution: str
    version: str
    state: str
    """A PluginState by value."""
    failures: int
    """In that process, so far."""
    last_error: str
    traceback: str
    role: str
    """Kind of the process: ``trainer``, ``relay``, ``monitor``, ``gateway`` or ``cli``."""
    pid: int = field(default_factory=os.getpid)
    time_s: float = field(default_factory=time.time)
    """When, in seconds since the epoch."""


_KINDS = {item.name: item.type for item in fields(FailureRecord)}


class FailureRecords:
    """The folder of records.

    Args:
        folder: Made when the first record is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unwritten = 0
        """Records that could not be written."""

    def write(self, record: FailureRecord) -> None:
        """Keep a record in the place of the plugin's last one; never raises."""
        scratch = self.folder / f".{os.getpid()}.tmp"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            scratch.write_text(json.dumps(asdict(record)), encoding="utf-8")
            scratch.replace(self._path(record.name))
        except (OSError, ValueError):
            self.unwritten += 1
            with suppress(OSError):
                scratch.unlink(missing_ok=True)

    def read(self) -> list[FailureRecord]:
        """Return every record that can be read, by plugin's name; never raises."""
        try:
            paths = sorted(self.folder.glob("*.json"))[:_MAX_FILES]
        except OSError:
            return []
        records = [_read(path) for path in paths]
        return [record for record in records if record is not None]

    def settle(self, name: str, states: Collection[str]) -> None:
        """Delete a plugin's record if its state is one of these; never raises."""
        path = self._path(name)
        record = _read(path)
        if record is not None and record.state in states:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def forget(self) -> int:
        """Delete every record and return how many there were.

        Raises:
            OSError: One could not be deleted.
        """
        paths = list(self.folder.glob("*.json"))
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)

    def _path(self, name: str) -> Path:
        return self.folder / f"{quote(name, safe=' ')}.json"


def _read(path: Path) -> FailureRecord | None:
    """Return the record in a file, or None where it is no record."""
    try:
        with path.open("rb") as file:
            loaded: Any = json.loads(file.read(_MAX_FILE_BYTES))
        values = {item.name: loaded[item.name] for item in fields(FailureRecord)}
        kinds = {name: type(value).__name__ for name, value in values.items()}
        return FailureRecord(**values) if kinds == _KINDS else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
