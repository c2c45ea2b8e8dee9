"""Where a command's output goes: to the standard output, or whole to a file or not at all."""

from __future__ import annotations

import os
import secrets
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import click

__all__ = ["opened", "terminable"]


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what runs inside as Ctrl-C does: what it began is tidied up."""
    if threading.current_thread() is not threading.main_thread():  # only there can signals be set
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def opened(target: str, *, force: bool) -> Iterator[BinaryIO]:
    """Give the stream to write to.

    A file appears under its name when the block ends, with all that was written; where it ends by
    an exception there is none, and one that was there before stays as it was.

    Args:
        target: A file's path, or ``-`` for the standard output.
        force: Whether a file that is there is replaced.

    Raises:
        click.ClickException: The file is there and not to be replaced, or cannot be written.
    """
    if target == "-":
        with _standard_output() as stream:
            yield stream
        return
    path = Path(target).expanduser().resolve()
    try:
        special = path.exists() and not stat.S_ISREG(path.stat().st_mode)
        if special:  # a device or a pipe takes what is written; it must not be replaced
            with path.open("wb") as stream:
                yield stream
            return
        if not force:
            _refuse_existing(path, target)
        with _replacing(path, target, force=force) as stream:
            yield stream
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.ClickException(f"{target} cannot be written: {reason}") from error


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    stream = sys.stdout.buffer
    try:
        yield stream
        stream.flush()
    except BrokenPipeError:
        # Who read has enough. Python would complain when it flushes at its end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


@contextmanager
def _replacing(path: Path, target: str, *, force: bool) -> Iterator[BinaryIO]:
    """Write beside a file, then take its place."""
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with beside.open("xb") as stream:
            yield stream
        if not force:  # it may have come meanwhile
            _refuse_existing(path, target)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _refuse_existing(path: Path, target: str) -> None:
    if path.exists():
        raise click.ClickException(f"{target} is there already: give --force to replace it")
