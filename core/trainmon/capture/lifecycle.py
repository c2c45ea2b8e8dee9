"""Sessions that end without being closed: the script returns, raises, or forks."""

from __future__ import annotations

import atexit
import functools
import os
import sys
from typing import TYPE_CHECKING

from trainmon._guard import describe
from trainmon.errors import StopTraining

if TYPE_CHECKING:
    from trainmon.session import Session

__all__ = ["ENDS", "STATES", "ending_of", "forget", "open_sessions", "used_run_keys", "watch"]

#: TrainingStatus without its prefix: what a run may do, and how it may end.
STATES = ("STARTING", "RUNNING", "PAUSED", "EVALUATING", "STOPPING")
ENDS = ("COMPLETED", "STOPPED", "FAILED")

_open: set[Session] = set()
_run_keys: set[str] = set()


@functools.cache
def _hook_once() -> None:
    atexit.register(_at_exit)
    os.register_at_fork(after_in_child=_in_child)


def watch(session: Session) -> None:
    """See to it that a session is closed at exit and inert in forked children."""
    _hook_once()
    _open.add(session)
    _run_keys.add(session.info.run_key)


def forget(session: Session) -> None:
    """A session was closed."""
    _open.discard(session)


def open_sessions() -> list[Session]:
    """Return the sessions of this process that have not ended."""
    return [session for session in tuple(_open) if not session.closed]


def used_run_keys() -> frozenset[str]:
    """Return the key of every run that this process, or the one it was forked from, has shown."""
    return frozenset(_run_keys)


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
    return "FAILED", describe(error)


def _at_exit() -> None:
    # The interpreter leaves an exception that nobody caught here when it prints it. Where people
    # type, it is that of any line they typed, and has ended nothing.
    error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
    status, message = ending_of(error)
    for session in list(_open):
        session.close(status, message)


def _in_child() -> None:
    """A DataLoader's worker: it shares our memory and descriptors and must touch neither."""
    for session in list(_open):
        session.abandon()
    _open.clear()
