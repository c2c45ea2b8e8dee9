"""The end of a session: the last record, and a bounded wait until the relay has delivered all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from trainmon.channel import TrainerChannel, Word

if TYPE_CHECKING:
    from trainmon.capture.relay_process import RelayProcess

__all__ = ["say_goodbye"]

_POLL_S = 0.05
#: A monitor that has been away for so long is not waited for.
_AWAY_NS = 1_000_000_000


def say_goodbye(
    channel: TrainerChannel, relay: RelayProcess, record: bytes, timeout_s: float
) -> None:
    """Hand over the last record and wait until everything is delivered.

    Args:
        channel: Where to.
        relay: Who delivers; started again where it is dead. Says if no monitor answers, or if it
            was sent away: then nothing is waited for.
        record: The CLOSE record.
        timeout_s: To wait at most. With the monitor away the relay goes on alone as soon as it has
            taken everything.
    """
    deadline_s = time.monotonic() + timeout_s

    def wait() -> bool:
        left_s = deadline_s - time.monotonic()
        if left_s > 0:
            relay.wait(min(_POLL_S, left_s))
            relay.check(time.monotonic_ns())  # one that is killed now leaves the end to another
        return left_s > 0 and not relay.is_over()

    relay.revive(timeout_s)
    if relay.is_over():
        relay.tell_dismissed()
        return
    while not channel.records.write(record):
        if not wait():
            return
    relay.wake()
    words = channel.block.words
    while words[Word.DELIVERED] == 0 and wait():
        lost_ns = words[Word.LINK_LOST_NS]
        away = lost_ns and time.monotonic_ns() - lost_ns > _AWAY_NS
        # What the relay has let go of is on disk, or in the memory of one that outlives us.
        if away and not channel.records.used:
            relay.tell_unseen()
            return
    if words[Word.DELIVERED] == 0 and relay.is_over():
        relay.tell_dismissed()
