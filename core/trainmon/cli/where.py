"""Which monitor a command speaks to."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trainmon.config import parse_address
from trainmon.monitor.lock import read_holder

if TYPE_CHECKING:
    from trainmon.config import Settings

__all__ = ["address_of", "answers", "checked_address", "monitor_option", "of_home"]

#: How long a monitor may take to take a connection.
_ANSWER_S = 1.0
_Command = TypeVar("_Command", bound=Callable[..., Any])


def monitor_option(command: _Command) -> _Command:
    """Give a command the option ``--monitor``, which is checked before the command runs."""
    option = click.option(
        "--monitor",
        metavar="HOST:PORT",
        callback=checked_address,
        help="Where the monitor listens.  [TRAINMON_MONITOR, else that of TRAINMON_HOME]",
    )
    return option(command)


def checked_address(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Return what ``--monitor`` says; for the option's ``callback``.

    Raises:
        ConfigurationError: It is no address; names the option.
    """
    if value is not None:
        parse_address(value, "--monitor")
    return value


def address_of(monitor: str | None, settings: Settings | None = None) -> str:
    """Return where the monitor listens that a command is to ask, as host:port.

    Args:
        monitor: What ``--monitor`` says; None: TRAINMON_MONITOR, else a monitor of this
            TRAINMON_HOME wherever it listens, else the default address.
        settings: The settings; None: from the environment.

    Raises:
        ConfigurationError: A setting cannot be used.
    """
    from trainmon.config import Settings

    settings = settings or Settings.from_environment(monitor=monitor)
    if monitor or os.environ.get("TRAINMON_MONITOR"):
        return settings.monitor
    return of_home(settings.home) or settings.monitor


def of_home(home: Path) -> str:
    """Return where the monitor of a home listens; empty where none does."""
    holder = read_holder(home)
    return holder.address if holder is not None and answers(holder.address) else ""


def answers(address: str) -> bool:
    """Return whether something takes connections there."""
    if not address:
        return False
    try:
        socket.create_connection(parse_address(address), timeout=_ANSWER_S).close()
    except OSError:
        return False
    return True
