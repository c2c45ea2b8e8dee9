"""Signals that end a command so that it tidies up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["terminable"]


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what runs inside as Ctrl-C does: what it began is tidied up."""
    if threading.current_thread() is not threading.main_thread():  # only there can signals be set
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    # What is ignored, as nohup has it, is to stay so.
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
