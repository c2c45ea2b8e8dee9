"""What other relays have left undelivered on this machine."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from trainmon.relay.spool.folder import LOCK_NAME, folders_in

__all__ = ["abandoned"]


def abandoned(home: Path, own: Path | None = None) -> list[Path]:
    """Return the spools that nobody delivers, ``own`` excepted. Costs a look at each lock."""
    return [folder for folder in folders_in(home) if folder != own and not _is_held(folder)]


def _is_held(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # removed meanwhile, or the lock alone is
        return not folder.exists()
    except OSError:  # not ours
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
