"""``trainmon demo``: a monitor, a dashboard and a real training, as three processes."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import click

from trainmon.cli.children import Child, trainmon_command
from trainmon.cli.signals import terminable

__all__ = ["demo"]

_GOODBYE_S = 8.0


_PORT = click.IntRange(0, 65535)


def _check_installed() -> None:
    missing = {"trainmon_gateway": "trainmon-gateway", "sklearn": "scikit-learn"}
    names = [package for module, package in missing.items() if find_spec(module) is None]
    if names:
        raise click.ClickException(
            f"the demo needs {' and '.join(names)}: pip install {' '.join(names)}"
        )


def _check_log(log: str | None) -> None:
    """Refuse a file that the training could not write, before anything is started."""
    if log is None:
        return
    try:
        Path(log).open("a").close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.UsageError(f"--log {log} cannot be written: {reason}") from error


def _start(stack: ExitStack, name: str, command: list[str], environment: dict[str, str]) -> Child:
    child = Child(name, command, environment)
    stack.callback(child.end)
    return child


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the dashboard.")
@click.option(
    "--port",
    type=_PORT,
    default=8080,
    show_default=True,
    help="Port of the dashboard; 0: a free one.",
)
@click.option("--monitor-port", type=_PORT, default=0, help="Port of the monitor; 0: a free one.")
@click.option("--epochs", type=click.IntRange(1), help="Epochs to train.")
@click.option("--rate", type=click.FloatRange(0), help="Batches per second; 0: as many as go.")
@click.option("--log", type=click.Path(dir_okay=False), help="Write each loss to this file.")
@click.option("--exit-when-done", is_flag=True, help="End with the training.")
def demo(
    host: str,
    port: int,
    monitor_port: int,
    epochs: int | None,
    rate: float | None,
    log: str | None,
    exit_when_done: bool,
) -> None:
    """Train a small network on handwritten digits, and watch and steer it in a browser."""
    _check_installed()
    _check_log(log)
    with ExitStack() as stack:
        stack.enter_context(terminable())
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="trainmon-demo-"))
        environment = {**os.environ, "TRAINMON_HOME": os.environ.get("TRAINMON_HOME") or home}
        listen = ("--host", host, "--port", str(port))
        try:
            address = _start_servers(stack, environment, str(monitor_port), listen)
            reached = {**environment, "TRAINMON_MONITOR": address}
            trainer = _start(stack, "training", _training(epochs, rate, log), reached)
            trainer.pass_on(sys.stdout)
            _watch(trainer, stay=not exit_when_done)
        except KeyboardInterrupt:
            click.echo("\nended")


def _training(epochs: int | None, rate: float | None, log: str | None) -> list[str]:
    given = {"--epochs": epochs, "--rate": rate, "--log": log}
    options = [str(part) for pair in given.items() if pair[1] is not None for part in pair]
    return [sys.executable, "-m", "trainmon.demo", *options]


def _start_servers(
    stack: ExitStack, environment: dict[str, str], monitor_port: str, listen: tuple[str, ...]
) -> str:
    """Start monitor and gateway, say where they listen, and return the monitor's address."""
    monitor = _start(
        stack, "monitor", trainmon_command("serve", "--port", monitor_port), environment
    )
    address = monitor.announced("monitor")
    monitor.pass_on(sys.stderr)
    click.echo(f"monitor: {address}")
    command = trainmon_command("gateway", *listen, "--monitor", address)
    gateway = _start(stack, "gateway", command, environment)
    dashboard = gateway.announced("dashboard")
    gateway.pass_on(sys.stderr, but="monitor: ")  # which we have said
    click.echo(f"dashboard: {dashboard}")
    click.echo("Open that address in a browser. Ctrl-C ends everything.")
    return address


def _watch(trainer: Child, *, stay: bool) -> None:
    """Wait for the training, and then, where asked to stay, for Ctrl-C."""
    try:
        code = trainer.wait()
        click.echo(f"the training has ended{f' with code {code}' if code else ''}")
        if stay:
            click.echo("The dashboard stays up until Ctrl-C.")
            signal.pause()
    finally:
        # First the training, so that it can say goodbye to a monitor that still listens.
        trainer.interrupt()
        trainer.wait(_GOODBYE_S)
        trainer.end()
