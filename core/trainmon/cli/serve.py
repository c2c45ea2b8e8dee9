"""``trainmon serve``: the monitor as a process."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from trainmon.config import Settings

__all__ = ["is_loopback", "serve"]


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=50051,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--insecure-no-auth",
    is_flag=True,
    help="Allow a --host that others can reach: whoever reaches it controls every training.",
)
def serve(host: str, port: int, *, insecure_no_auth: bool) -> None:
    """Run the monitor: trainings report to it, viewers watch through it."""
    from trainmon.config import Settings

    if not is_loopback(host) and not insecure_no_auth:
        raise click.UsageError(
            f"--host {host} can be reached by others, and there are no passwords: whoever reaches "
            "it could control every training. Use 127.0.0.1, or add --insecure-no-auth if you "
            "trust that network."
        )
    asyncio.run(_serve(Settings.from_environment(), host.strip("[]"), port))


async def _serve(settings: Settings, host: str, port: int) -> None:
    from trainmon.manager import get_manager
    from trainmon.monitor.lock import HomeLock
    from trainmon.monitor.server import MonitorServer
    from trainmon.monitor.store.opening import open_store

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    plugins = get_manager("monitor")
    with HomeLock(settings.home) as lock:
        store, warning = open_store(settings, plugins)
        if warning:
            click.echo(warning, err=True)
        async with MonitorServer(
            settings, host=host, port=port, store=store, plugins=plugins
        ) as server:
            lock.announce(server.address)
            click.echo(f"monitor: {server.address}")
            await stopped.wait()
