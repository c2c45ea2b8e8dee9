"""``trainmon sync``: delivers what relays that are gone could not."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainmon.cli.client import NoMonitorError
from trainmon.cli.text import moment, printable
from trainmon.cli.where import address_of, answers, monitor_option

if TYPE_CHECKING:
    from trainmon.config import Settings
    from trainmon.relay.leftover import Leftover

__all__ = ["sync"]

#: How often the progress of a long delivery is told, in seconds.
_TELL_S = 2.0


@click.command(
    epilog="Exit status: 0 where nothing is left that could be delivered, 1 where something could "
    "not, 2 where the command is wrong."
)
@monitor_option
@click.option("--dry-run", is_flag=True, help="Only tell what waits.")
def sync(monitor: str | None, *, dry_run: bool) -> None:
    """Deliver what earlier runs could not.

    A relay that ends, or is killed, before the monitor has everything leaves the rest under
    TRAINMON_HOME/spool. What living runs keep there they deliver themselves.
    """
    from trainmon.config import Settings
    from trainmon.relay.spool.folder import folders_in

    logging.basicConfig(level=logging.WARNING, format="trainmon: %(message)s", stream=sys.stderr)
    settings = Settings.from_environment(monitor=monitor)
    folders = list(folders_in(settings.home))
    if not folders:
        click.echo(f"nothing waits in {settings.home}")
        return
    if not dry_run:
        settings = Settings.from_environment(monitor=address_of(monitor, settings))
    wholes = [_look_after(folder, settings, dry_run=dry_run) for folder in folders]
    raise click.exceptions.Exit(int(not all(wholes)))


def _look_after(folder: Path, settings: Settings, *, dry_run: bool) -> bool:
    """Deliver one spool if nobody else will; False: it could not be."""
    from trainmon.relay.leftover import Leftover, SpoolGoneError, UnusableSpoolError
    from trainmon.relay.spool import SpoolBusyError

    try:
        leftover = Leftover(folder, settings.spool_bytes)
    except SpoolBusyError as error:
        click.echo(f"{folder.name}: being delivered by process {error.holder or '(unknown)'}")
        return True
    except SpoolGoneError:
        return True
    except UnusableSpoolError as error:
        click.echo(f"Error: {error}", err=True)
        return False
    try:
        if leftover.training_lives:
            click.echo(
                f"{_told(leftover)}: its training (process {leftover.pid}) runs and delivers it"
            )
            return True
        relay = leftover.relay_pid
        if relay:
            click.echo(f"{_told(leftover)}: its relay (process {relay}) is about to deliver it")
            return True
        if dry_run:
            size = leftover.spool.journal.bytes
            click.echo(f"{_told(leftover)}: {leftover.count} records, {size} bytes, in {folder}")
            return True
        return _deliver(leftover, settings)
    finally:
        leftover.spool.close()


def _told(leftover: Leftover) -> str:
    run = leftover.run.registration
    when = moment(leftover.spool.journal.written_s * 1e3)
    rank = f", rank {run.rank}" if run.rank else ""
    return f"{printable(leftover.name)} (on {printable(run.hostname)}{rank}, last at {when})"


def _deliver(leftover: Leftover, settings: Settings) -> bool:
    """Deliver one spool.

    Raises:
        NoMonitorError: There is no monitor.
    """
    from trainmon.relay.delivery import Delivery

    if not leftover.spool.journal.last:
        click.echo(f"{_told(leftover)}: nothing was left to deliver")
        leftover.spool.remove()
        return True
    if not answers(settings.monitor):
        raise NoMonitorError(settings.monitor, "nothing takes connections there")
    progress = _Progress(_told(leftover))

    async def deliver() -> Delivery:
        delivery = Delivery(leftover, settings, progress)
        await delivery.run()
        return delivery

    delivery = asyncio.run(deliver())
    if delivery.trouble:
        click.echo(
            f"Error: {_told(leftover)}: {delivery.left} records could not be delivered to the "
            f"monitor at {settings.monitor}: {delivery.trouble}; they stay in "
            f"{leftover.spool.folder}",
            err=True,
        )
        return False
    leftover.spool.remove()
    known = ", which the monitor did not know" if delivery.new else ""
    click.echo(f"{_told(leftover)}: delivered, as session {delivery.session_id}{known}")
    return True


class _Progress:
    """Tells now and then how much is left.

    Args:
        what: Of which run.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._told_s = time.monotonic()

    def __call__(self, left: int) -> None:
        now_s = time.monotonic()
        if left and now_s - self._told_s > _TELL_S:
            self._told_s = now_s
            click.echo(f"{self._what}: {left} records left", err=True)
