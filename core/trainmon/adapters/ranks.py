"""Several ranks: what an adapter asks and does where its training has more than one process.

A control point per global step is all the ranks then need: a command takes effect at the same one
on every rank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmon.capture.ranks.group import rank_and_world, shared_run_key

if TYPE_CHECKING:
    from trainmon.session import Session

__all__ = ["join_ranks", "rank_and_world", "shared_run_key"]


def join_ranks(session: Session) -> None:
    """Join the ranks of the training's process group; never raises.

    To be called on every rank once the group is up. The first control point does it by itself for
    groups that are up by then, so this only saves the ranks from waiting for each other later.

    Args:
        session: The rank's.
    """
    session.join_ranks()
