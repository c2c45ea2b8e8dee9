"""``trainmon serve`` with a wall clock that can be set: it is fast by what a file says, in ms.

python -m kills.monitor FILE ARGUMENTS…
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from trainmon.cli import main
from trainmon.monitor.clock import Clock

_file = Path(sys.argv.pop(1))


def _wall_ms(_: Clock) -> int:
    return time.time_ns() // 1_000_000 + int(_file.read_text() or 0)


# The clock is made deep within `serve`, which has no setting for it: nobody but a test wants one.
Clock.wall_ms = _wall_ms  # type: ignore[method-assign, assignment]

if __name__ == "__main__":
    main()
