"""``trainmon run``: a training that knows nothing of trainmon, shown and steered.

It sets the environment and becomes the command, by exec: what runs is the real interpreter or
launcher, with its own process id, signals and exit status, and so are the processes it starts.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import uuid
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import click

from trainmon.cli.where import checked_address

__all__ = ["command_of", "name_of", "run"]

#: What a shell's exit status says of a command that is not there, or cannot be run.
NOT_FOUND, NOT_RUNNABLE = 127, 126


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Examples: trainmon run train.py · trainmon run -m package.train --epochs 3 · trainmon "
    "run torchrun --nproc-per-node 2 train.py · trainmon run accelerate launch train.py",
)
@click.option("-m", "is_module", is_flag=True, help="COMMAND names a module, as in `python -m`.")
@click.option(
    "--name", help="Name of the run; one that the script itself gives wins.  [the script's file]"
)
@click.option(
    "--monitor", metavar="HOST:PORT", callback=checked_address, help="The monitor to report to."
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    command: tuple[str, ...], name: str | None, monitor: str | None, *, is_module: bool
) -> None:
    """Run COMMAND, a script or a launcher, so that it shows in the dashboard, unchanged.

    With no monitor up, one is started with its dashboard, and both go on after the training.
    """
    from trainmon.cli.frameworks import missing_plugins
    from trainmon.cli.up import bring_up
    from trainmon.config import Settings

    settings = Settings.from_environment(monitor=monitor)
    path, arguments = command_of(command, is_module=is_module)
    told = bool(monitor or os.environ.get("TRAINMON_MONITOR"))
    address = bring_up(settings, told=told)
    for line in missing_plugins(settings.disable_plugins):
        click.echo(line, err=True)
    environment = {
        **os.environ,
        "TRAINMON_MONITOR": address,
        "TRAINMON_RUN_KEY": settings.run_key or uuid.uuid4().hex,
        "TRAINMON_SESSION_NAME": name or settings.session_name or name_of(command, is_module),
    }
    become(path, arguments, environment)


def command_of(command: Sequence[str], *, is_module: bool) -> tuple[str, list[str]]:
    """Return the file to execute, and its arguments, the first of which is its name.

    Programs are looked for beside the Python that trainmon is installed in, then on the path: that
    environment's launcher is meant, activated or not.

    Raises:
        click.exceptions.Exit: There is no such command (127), or it cannot be run (126).
    """
    if is_module:
        return sys.executable, [sys.executable, "-m", *command]
    first = command[0]
    if first.endswith(".py") and Path(first).is_file():
        return sys.executable, [sys.executable, *command]
    beside = str(Path(sys.executable).parent)
    where = os.pathsep.join((beside, os.environ.get("PATH", os.defpath)))
    path = shutil.which(first, path=where)
    if path is not None:
        return path, list(command)
    if os.sep in first and Path(first).exists():
        raise _refusal(NOT_RUNNABLE, f"{first} cannot be executed: is it a program?")
    raise _refusal(
        NOT_FOUND,
        f"{first}: no such {'script' if first.endswith('.py') else 'command'} "
        f"{'here' if os.sep in first or first.endswith('.py') else 'on the path'}: give a script, "
        "a launcher such as torchrun, or -m and a module",
    )


def _refusal(code: int, message: str) -> click.exceptions.Exit:
    click.echo(f"Error: {message}", err=True)
    return click.exceptions.Exit(code)


def name_of(command: Sequence[str], is_module: bool) -> str:
    """Return what people would call a command: its script, module, or else program."""
    if is_module:
        return command[0]
    for part in command:
        if part.endswith(".py"):
            return Path(part).stem
    for option, module in pairwise(command):
        if option in ("-m", "--module"):
            return module
    return Path(command[0]).name


def become(path: str, arguments: list[str], environment: dict[str, str]) -> NoReturn:
    """Execute a command in this process' place.

    Raises:
        click.exceptions.Exit: It cannot be executed (126).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    # Python ignores these; the command is to find them as a shell would leave them.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(path, arguments, environment)  # noqa: S606 - the user's own command
    except OSError as error:
        raise _refusal(NOT_RUNNABLE, f"{path} cannot be executed: {error.strerror}") from None
