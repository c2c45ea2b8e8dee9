"""Opening the channel of a session; where the system refuses, one that leads nowhere."""

from __future__ import annotations

from trainmon._guard import describe
from trainmon.capture.door import log
from trainmon.channel import TrainerChannel

__all__ = ["open_channel"]


def open_channel(record_bytes: int) -> TrainerChannel:
    """Return a channel for a session; never raises.

    Where there is no memory or descriptor for one, it is not shared with any relay: the session
    counts its steps and all that it refuses, and the training goes on unseen.
    """
    try:
        return TrainerChannel.create(record_bytes)
    except Exception as error:  # noqa: BLE001 - law 1: only bad configuration may raise; said once
        log.warning(
            "trainmon: this run is not shown, for there is no memory to share with a relay: %s; "
            "training goes on. If there are too many open files, see `ulimit -n`",
            describe(error),
        )
        return TrainerChannel.unshared()
