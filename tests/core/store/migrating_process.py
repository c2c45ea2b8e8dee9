"""A process that opens a history and is killed, or ends, before a certain step of that.

Arguments: the folder, and before how many steps; with 0 it says how many there are. A step is a
statement or the end of a transaction, so that one is killed within a migration and between two.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from sqlalchemy import Engine, event

from trainmon.monitor.store.durable.sqlite import SqliteFiles


def main(folder: Path, last: int) -> None:
    """Do it."""
    steps = 0

    def step(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", step)
    event.listen(Engine, "commit", step)
    files = SqliteFiles(folder)
    files.close()
    files.release()
    sys.stdout.write(str(steps))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
