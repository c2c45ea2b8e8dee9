"""``trainmon plugins``: what is installed, what runs, what went wrong here and elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import click

from trainmon._failures import FailureRecord, FailureRecords
from trainmon.config import Settings
from trainmon.manager import PluginRow, PluginState, get_manager

__all__ = ["plugins"]


@click.command()
@click.option("-v", "--verbose", is_flag=True, help="Show hooks and tracebacks, too.")
@click.option("--forget", is_flag=True, help="Forget what plugins did wrong in other processes.")
@click.pass_context
def plugins(ctx: click.Context, verbose: bool, forget: bool) -> None:
    """Show every plugin, and what is wrong with it.

    Failures in trainings, relays, monitors and gateways are kept under TRAINMON_HOME, the newest
    of each plugin.
    """
    settings = Settings.from_environment()
    records = FailureRecords(settings.home / "plugins")
    if forget:
        click.echo(f"records forgotten: {records.forget()}")
        return
    with _quiet():  # what the log would tell is shown below
        _settle(ctx)
        rows = get_manager().rows()
    if rows:
        for line in _table(rows):
            click.echo(line)
    else:
        click.echo("no plugins are installed")
    for row in rows:
        _tell_row(row, verbose)
    for record in records.read():
        if _concerns(record, rows):
            _tell_record(record, verbose)
    for name in sorted(set(settings.disable_plugins) - {row.name for row in rows}):
        click.echo(f"\nTRAINMON_DISABLE_PLUGINS names {name}, which is not installed")


@contextmanager
def _quiet() -> Iterator[None]:
    log = logging.getLogger("trainmon.plugins")
    was, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = was


def _settle(ctx: click.Context) -> None:
    """Let every plugin add its subcommands now, so that what goes wrong there is shown."""
    group = ctx.find_root().command
    if isinstance(group, click.Group):
        group.list_commands(ctx.find_root())


def _table(rows: Sequence[PluginRow]) -> list[str]:
    """Return aligned lines, headed."""
    cells = [("PLUGIN", "STATE", "PACKAGE", "HOOKS", "FAILURES")]
    cells += [
        (
            row.name,
            row.state.value,
            f"{row.distribution} {row.version}".strip() or "built in",
            str(len(row.hooks)),
            str(row.failures),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]


def _tell_row(row: PluginRow, verbose: bool) -> None:
    if verbose and row.hooks:
        click.echo(f"\n{row.name} implements {', '.join(row.hooks)}")
    if row.last_error:
        click.echo(f"\n{row.name}: {row.last_error}")
        if verbose:
            click.echo(_indented(row.traceback))


def _concerns(record: FailureRecord, rows: Iterable[PluginRow]) -> bool:
    """Return whether a record is of a plugin as it is installed now, and says what rows do not."""
    row = next((row for row in rows if row.name == record.name), None)
    if row is None:
        return True
    if row.state is PluginState.DISABLED or row.last_error == record.last_error:
        return False
    return (row.distribution, row.version) == (record.distribution, record.version)


def _tell_record(record: FailureRecord, verbose: bool) -> None:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.time_s))
    click.echo(
        f"\n{record.name} in a {record.role} (process {record.pid}, {when}): {record.state}, "
        f"failures: {record.failures}, the newest {record.last_error}"
    )
    if verbose:
        click.echo(_indented(record.traceback))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
