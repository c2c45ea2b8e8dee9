"""What stretches found, kept in a file as each ends: whoever goes on another day adds to it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from kills.ledger import Tally

__all__ = ["Record"]

_ROOT = Path(__file__).resolve().parents[3]
#: What, changed, makes rounds done before count no more.
_CODE = ("core/trainmon", "gateway/trainmon_gateway", "tests/support")


class Record:
    """A file with a line for each stretch.

    Args:
        path: The file; None: nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._code = _code()
        self.found: dict[str, Tally] = {}
        """By kind, what was found with the code as it is."""
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                entry = json.loads(line)
                if entry["code"] == self._code:
                    self._count(entry["kind"], Tally.from_json(json.dumps(entry["found"])))

    def add(self, kind: str, seed: int, tally: Tally) -> None:
        """Keep what a stretch found."""
        self._count(kind, tally)
        if self._path is not None:
            found = json.loads(tally.to_json())
            entry = {"code": self._code, "kind": kind, "seed": seed, "found": found}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write(json.dumps(entry) + "\n")

    def _count(self, kind: str, tally: Tally) -> None:
        self.found.setdefault(kind, Tally()).add(tally)


def _code() -> str:
    """Return what tells this code from any other."""
    digest = hashlib.sha256()
    for folder in _CODE:
        for path in sorted((_ROOT / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(_ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
