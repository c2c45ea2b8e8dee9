"""Sessions that end without being closed: the script returns, raises, or forks."""

from __future__ import annotations

import atexit
import functools
import os
import sys
from typing import TYPE_CHECKING

from trainmon.errors import StopTraining

if TYPE_CHECKING:
    from trainmon.session import Session

__all__ = ["ending_of", "forget", "watch"]

_open: set[Session] = set()


@functools.cache
def _hook_once() -> None:
    atexit.register(_at_exit)
    os.register_at_fork(after_in_child=_in_child)


def watch(session: Session) -> None:
    """See to it that a session is closed at exit and inert in forked children."""
    _hook_once()
    _open.add(session)


def forget(session: Session) -> None:
    """A session was closed."""
    _open.discard(session)


def ending_of(error: BaseException | None) -> tuple[str, str]:
    """Return the TrainingStatus (without its prefix) and the message for how a run ended."""
    if error is None:
        return "COMPLETED", ""
    if isinstance(error, StopTraining):
        return "STOPPED", str(error)
    if isinstance(error, KeyboardInterrupt):
        return "STOPPED", "interrupted from the keyboard (KeyboardInterrupt)"
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return "COMPLETED", ""
    text = str(error).strip()
    return "FAILED", f"{type(error).__name__}: {text}" if text else type(error).__name__


def _at_exit() -> None:
    # The interpreter leaves an exception that nobody caught here when it prints it.
    status, message = ending_of(getattr(sys, "last_value", None))
    for session in list(_open):
        session.close(status, message)


def _in_child() -> None:
    """A DataLoader's worker: it shares our memory and descriptors and must touch neither."""
    for session in list(_open):
        session.abandon()
    _open.clear()
