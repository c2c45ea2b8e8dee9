"""``python -m trainmon.relay``: started by a training's session, never by people."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from trainmon.channel import RelayChannel, read_hello
from trainmon.config import Settings
from trainmon.errors import ConfigurationError
from trainmon.relay.app import Relay
from trainmon.relay.keeper import Keeper

__all__ = ["main"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m trainmon.relay",
        description="Carries what a training tells to the monitor. A training starts it by itself; "
        "there is nothing to be gained by starting it by hand.",
    )
    for name, what in (
        ("channel", "descriptor of the memory shared with the training"),
        ("record-bytes", "bytes of that memory's record ring"),
        ("wake", "descriptor of the socket by which the two wake each other"),
        ("hello", "descriptor of the file that says what is trained"),
    ):
        parser.add_argument(f"--{name}", type=int, required=True, help=what)
    # So that `trainmon sync` sees whose relay is about to begin when its training has gone.
    parser.add_argument("--run", default="", help="the producer whose records it carries")
    return parser.parse_args()


async def _run(
    channel: RelayChannel, wake: socket.socket, hello: Mapping[str, Any], settings: Settings
) -> int:
    keeper = Keeper(settings, str((hello.get("info") or {}).get("producer_id") or ""))
    keeper.open()  # before anything else: until the relay before this one is gone, nothing is ours
    return await Relay(channel, wake, hello, settings, keeper).run()


def _give_way() -> None:
    """Let the training have the processor first.

    Every picture wakes the relay; at the same priority it would take the core from the training
    that woke it, for as long as it encodes.
    """
    with suppress(OSError):  # a container may forbid it
        os.nice(5)
        if hasattr(os, "sched_setscheduler"):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def main() -> int:
    """Run a relay on the descriptors that were passed down; returns the exit code."""
    logging.basicConfig(level=logging.WARNING, format="trainmon: %(message)s", stream=sys.stderr)
    arguments = _arguments()
    _give_way()
    # Ctrl-C is meant for the training, which then says goodbye through us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        settings = Settings.from_environment()
        channel = RelayChannel.attach(arguments.channel, arguments.record_bytes)
        hello = read_hello(arguments.hello)
        wake = socket.socket(fileno=arguments.wake)
    except (ConfigurationError, OSError, ValueError) as error:
        sys.stderr.write(f"trainmon: the relay cannot start: {error}\n")
        return 2
    wake.setblocking(False)
    with wake:
        return asyncio.run(_run(channel, wake, hello, settings))


def _leave(code: int) -> NoReturn:
    """End the process, also where a thread hangs in a driver or in a plugin."""
    with suppress(OSError):  # whoever read it may be gone
        sys.stderr.flush()
    if len(threading.enumerate()) > 1:
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    _leave(main())
