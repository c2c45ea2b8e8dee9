"""What a relay has accepted and no monitor has acknowledged, on disk.

One folder for each producer, ``TRAINMON_HOME/spool/<producer>/``: ``lock`` (held by whoever writes
or delivers), ``run`` (the run's registration) and segments of frames, see
:mod:`trainmon.relay.spool.frames`. It survives ``kill -9`` of everybody; nothing is synced to the
platter, so it does not survive a loss of power.
"""

from __future__ import annotations

from trainmon.relay.spool.folder import Spool, SpoolBusyError, spool_root
from trainmon.relay.spool.frames import Frame

__all__ = ["Frame", "Spool", "SpoolBusyError", "spool_root"]
