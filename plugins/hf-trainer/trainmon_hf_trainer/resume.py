"""Where a resumed training stands, and which attempt at its steps it is.

The Trainer's checkpoint says how many updates were made. Which attempt made them is kept beside it,
in a small file of ours that nothing else reads; without it a resumed run counts as a first attempt.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["note_attempt", "place_of", "resumed_attempt"]

_FILE = "trainmon.json"


def place_of(trainer: Any, state: Any, batches_per_epoch: int | None) -> tuple[int, int]:
    """Return batches and epochs trained before, of a training that starts at ``state``."""
    updates = int(state.global_step)
    accumulated = int(getattr(trainer.args, "gradient_accumulation_steps", 1) or 1)
    if not batches_per_epoch:
        return updates * accumulated, 0
    updates_per_epoch = max(1, -(-batches_per_epoch // accumulated))
    epochs, rest = divmod(updates, updates_per_epoch)
    # The last update of an epoch may be of fewer batches.
    return epochs * batches_per_epoch + min(rest * accumulated, batches_per_epoch), epochs


def note_attempt(args: Any, state: Any, attempt: int) -> None:
    """Note beside the newest checkpoint which attempt wrote it.

    Raises:
        OSError: The folder cannot be written to.
    """
    folder = _folder(args, state)
    if folder.is_dir():
        (folder / _FILE).write_text(json.dumps({"attempt": attempt}) + "\n", encoding="utf-8")


def resumed_attempt(args: Any, state: Any, given: Any) -> int | None:
    """Return the attempt of a training that goes on from a checkpoint; None: it is not known.

    Args:
        args: The Trainer's arguments.
        state: As loaded from the checkpoint.
        given: What ``train`` was told to resume from.
    """
    folder = Path(given) if isinstance(given, (str, Path)) else _folder(args, state)
    with suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        return int(known["attempt"]) + 1
    return None


def _folder(args: Any, state: Any) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"
