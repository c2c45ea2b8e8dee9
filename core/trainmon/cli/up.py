"""Finding the monitor and the dashboard for a training, or starting both in the background."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainmon.cli.children import trainmon_command
from trainmon.cli.serve import is_loopback
from trainmon.cli.where import answers, of_home
from trainmon.config import parse_address
from trainmon.dashboards import Dashboard, dashboards

if TYPE_CHECKING:
    from trainmon.config import Settings

__all__ = ["bring_up"]

#: How long a gateway that was started may take to serve.
_START_S = 30.0
_POLL_S = 0.05
_PORT = 8080


def bring_up(settings: Settings, *, told: bool) -> str:
    """See to it that a training has a monitor and a page, if that can be; say where they are.

    Never fails: without a monitor the training runs unseen, and shows once one is there.

    Args:
        settings: The monitor's address and the TRAINMON_HOME.
        told: Whether that address was asked for; if not, a monitor of that home is used wherever
            it listens.

    Returns:
        The monitor's address, host:port.
    """
    address = settings.monitor if told else of_home(settings.home) or settings.monitor
    up = answers(address)
    if up:
        page = next((each for each in dashboards(settings.home) if each.monitor == address), None)
        if page is not None:
            click.echo(f"dashboard: {page.address}")
            return address
    other = of_home(settings.home) if told and not up else ""
    if other:
        click.echo(
            f"no monitor answers at {address}, but one does at {other}: the training starts "
            f"unseen. To be seen there: --monitor {other}",
            err=True,
        )
        return address
    host, _ = parse_address(address)
    if not is_loopback(host):
        _say_of_far_monitor(address, up)
        return address
    if find_spec("trainmon_gateway") is None:
        _say_what_to_start(address, up)
        return address
    page = _start(settings, address, up)
    return page.monitor if page is not None else address


def _say_of_far_monitor(address: str, up: bool) -> None:
    click.echo(f"monitor: {address}")
    if not up:
        click.echo(
            f"no monitor answers at {address}: the training starts, and shows once one does",
            err=True,
        )


def _say_what_to_start(address: str, up: bool) -> None:
    port = parse_address(address)[1]
    if up:
        click.echo(f"monitor: {address}")
        what = f"pip install trainmon-gateway && trainmon gateway --monitor {address}"
        click.echo(f"to see the run in a browser: {what}", err=True)
        return
    click.echo(
        f"no monitor answers at {address}: the training starts, and shows once one does. Start "
        f"it: trainmon serve --port {port}. With a page in the browser: pip install "
        f"trainmon-gateway && trainmon gateway --monitor-port {port}",
        err=True,
    )


def _start(settings: Settings, address: str, up: bool) -> Dashboard | None:
    """Start a gateway, with a monitor if there is none; return it once it serves, None: not."""
    reached = ("--monitor", address) if up else ("--monitor-port", str(parse_address(address)[1]))
    port = str(_PORT if _is_free(_PORT) else 0)
    log = settings.home / "dashboard.log"
    what = "the dashboard" if up else "the dashboard and its monitor"
    known = {each.pid for each in dashboards(settings.home)}
    click.echo(f"starting {what} in the background ...", err=True)
    command = trainmon_command("gateway", "--port", port, *reached)
    try:
        pid = _in_background(command, log, {**os.environ, "TRAINMON_HOME": str(settings.home)})
    except OSError as error:
        click.echo(f"no dashboard could be started: {error}; the training starts", err=True)
        return None
    try:
        page = _wait(settings.home, known, pid)
    except KeyboardInterrupt:  # who gave up waiting is left with nothing in the background
        os.kill(pid, signal.SIGTERM)
        raise
    if page is None:
        click.echo(f"no dashboard could be started, see {log}; the training starts", err=True)
        return None
    click.echo(f"dashboard: {page.address}")
    click.echo(f"{what} will go on after the training; to end it: kill {page.pid}", err=True)
    return page


def _wait(home: Path, known: set[int], pid: int) -> Dashboard | None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        new = [each for each in dashboards(home) if each.pid not in known]
        if new:
            return new[-1]
        if not _lives(pid):
            return None
        time.sleep(_POLL_S)  # the poll of a bounded wait on another process
    return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _in_background(command: list[str], log: Path, environment: dict[str, str]) -> int:
    """Start a process that is no child of ours: the training, which we become, must find none.

    Returns:
        Its process id.

    Raises:
        OSError: It cannot be started, or its output cannot be written.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    read, write = os.pipe()
    with log.open("ab") as output:
        between = os.fork()  # of one thread only
        if between == 0:
            _start_and_leave(command, output.fileno(), write, environment, log.parent)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        pid = answer.read()
    os.waitpid(between, 0)
    if not pid:
        raise OSError(f"{command[0]} could not be started")
    return int(pid)


def _start_and_leave(
    command: list[str], output: int, answer: int, environment: dict[str, str], folder: Path
) -> None:
    """In the forked child: start the process, tell its id, and end at once, whatever happens."""
    try:
        started = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=environment,
            cwd=folder,  # the user's may be unmounted, and holds modules of any name
        )
        os.write(answer, str(started.pid).encode())
    finally:
        os._exit(0)
