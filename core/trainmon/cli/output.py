"""Where a command's output goes: to the standard output, or whole to a file or not at all."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import click

__all__ = ["opened"]


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
    kind = _standard_output() if target == "-" else _file(target, force=force)
    try:
        with kind as stream:
            yield stream
    except BrokenPipeError:
        raise
    except OSError as error:
        where = "the standard output" if target == "-" else target
        raise click.ClickException(
            f"{where} cannot be written: {error.strerror or error}"
        ) from error


@contextmanager
def _file(target: str, *, force: bool) -> Iterator[BinaryIO]:
    path = Path(target).expanduser().resolve()
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        with path.open("wb") as stream:  # a device or a pipe must not be replaced
            yield stream
        return
    if not force:
        _refuse_existing(path, target)
    with _replacing(path, target, force=force) as stream:
        yield stream


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    stream = sys.stdout.buffer
    try:
        yield stream
        stream.flush()
    except OSError:
        # Its reader has enough, or it is full. Python would complain again when it flushes at its
        # end what could not be written.
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
