"""Which processes of a run there are on this machine."""

from __future__ import annotations

import psutil

__all__ = ["process_began_s", "relay_of"]


def process_began_s(pid: int) -> float:
    """Return when a process began, in s since the epoch; 0 where there is none."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def relay_of(producer_id: str) -> int:
    """Return the id of the process that is a producer's relay, or is about to be; 0: there is none.

    One that has just been started holds no lock yet.
    """
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or ()
        lives = process.info["status"] != psutil.STATUS_ZOMBIE
        if producer_id and lives and {"trainmon.relay", producer_id} <= {*command}:
            return int(process.pid)
    return 0
