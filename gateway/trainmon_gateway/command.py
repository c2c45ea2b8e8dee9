"""What ``trainmon gateway`` does: starts a monitor where none is given, and serves."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import click

from trainmon.config import Settings, parse_address
from trainmon.dashboards import announce
from trainmon.errors import TrainmonError
from trainmon.v1.dashboard_pb2 import ListSessionsRequest
from trainmon_gateway.errors import CallError
from trainmon_gateway.health import READY_TIMEOUT_S
from trainmon_gateway.own_monitor import OwnMonitor
from trainmon_gateway.security import Policy
from trainmon_gateway.server import Gateway, listen
from trainmon_gateway.upstream import Upstream

__all__ = ["Options", "run"]

#: Addresses to listen on that no browser can open, and what it opens instead.
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not listened on
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Options:
    """The command line, checked but for what needs the network."""

    host: str
    """Address to listen on."""
    port: int
    """Port to listen on; 0 for a free one."""
    allow_hosts: tuple[str, ...]
    """Further names by which it may be addressed."""
    monitor: str | None
    """A monitor that runs, host:port; None to start one."""
    monitor_port: int
    """Where to start one."""


def run(options: Options) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP.

    Raises:
        TrainmonError: It cannot start: a setting, the port, the monitor.
    """
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("trainmon_gateway").setLevel(logging.INFO)
    settings = Settings.from_environment()
    Policy(options.host, options.allow_hosts)
    if options.monitor is not None:
        parse_address(options.monitor, "--monitor")
    sock = _listening(options.host, options.port)
    with ExitStack() as stack:
        stack.callback(sock.close)
        try:
            stack.enter_context(_signals_interrupt())
            address = options.monitor
            if address is None:
                address = stack.enter_context(OwnMonitor(settings, options.monitor_port)).address
                click.echo(f"monitor: {address}")
            asyncio.run(_serve(sock, options, address, settings))
        except KeyboardInterrupt:
            return


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let every signal that ends us run what must be cleaned up, also before the loop runs."""
    before = {each: signal.signal(each, signal.default_int_handler) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _listening(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise TrainmonError(
                f"port {port} on {host} is in use, perhaps by another gateway: stop that one, or "
                "choose another port with --port (0 takes a free one)"
            ) from None
        raise TrainmonError(
            f"cannot listen on port {port} of {host} ({error.strerror or error}): give --host an "
            "address of this machine and --port one you may use"
        ) from None


async def _serve(sock: socket.socket, options: Options, address: str, settings: Settings) -> None:
    stopped = asyncio.Event()
    for each in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(each, stopped.set)
    gateway = Gateway(
        sock, options.host, parse_address(address), settings, allow_hosts=options.allow_hosts
    )
    async with gateway:
        host = _WILDCARDS.get(options.host, options.host)
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{gateway.address[1]}"
        with announce(settings.home, url, address):
            click.echo(f"dashboard: {url}")
            telling = asyncio.create_task(_tell_monitor(gateway.upstream, options.monitor))
            await stopped.wait()
            telling.cancel()
            await asyncio.wait({telling})


async def _tell_monitor(upstream: Upstream, given: str | None) -> None:
    """Say where a monitor that was given answers, once it does."""
    if given is None:
        return
    request = ListSessionsRequest(max_sessions=1).SerializeToString()
    while True:
        await upstream.wait_until(up=True)
        try:
            await upstream.call("ListSessions", request, READY_TIMEOUT_S)
        except CallError:  # away again, or slow: then it is asked again
            await asyncio.sleep(READY_TIMEOUT_S)
        else:
            click.echo(f"monitor: {given}")
            return
