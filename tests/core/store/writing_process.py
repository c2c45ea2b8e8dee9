"""A process that writes a history until it is killed, and says what is safe, a line at a time.

Argument: the folder. Chunks and pictures are so small that it is
always compacting, thinning and deleting something.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from trainmon.monitor.store.base import Record, SessionRecord
from trainmon.monitor.store.durable import compaction, ledger
from trainmon.monitor.store.durable.store import SqlStore
from trainmon.v1.control_pb2 import CommandRecord, ControlCommand
from trainmon.v1.dashboard_pb2 import SessionSnapshot, SessionSummary
from trainmon.v1.telemetry_pb2 import BatchData, EpochData, ImageData, MetricSeries


def record(sequence: int) -> Record:
    """Return a record that can be told from every other."""
    series = [
        MetricSeries(name=name, steps=[sequence], times=[1], values=[sequence * factor])
        for factor, name in enumerate(("loss", "b"), 1)
    ]
    picture = None
    if not sequence % 5:
        image = ImageData(image_bytes=sequence.to_bytes(4, "big") * 2500)
        picture = BatchData(global_step=sequence, images=[image])
    epoch = EpochData(epoch=sequence // 10) if not sequence % 10 else None
    return Record("p", sequence, series=series, epoch=epoch, key_frame=picture)


async def write(store: SqlStore) -> None:
    """Go on where an earlier process was killed."""
    loaded = await store.load("s")
    if loaded is None:
        snapshot = SessionSnapshot(summary=SessionSummary(session_id="s"))
        await store.put_session(SessionRecord("s", "run", "1", 1, None, snapshot, None))
    sequence = await store.stored_sequence("s", "p") or 0
    say(f"from {sequence}")
    while True:
        batch = range(sequence + 1, sequence + 8)
        sequence = batch[-1]
        await asyncio.gather(*(store.append("s", record(each)) for each in batch))
        command = CommandRecord(
            session_id="s", command=ControlCommand(command_id=f"c{sequence // 50}")
        )
        await store.put_command(command)
        say(f"safe {sequence}")
        if not sequence % 21:
            gone = f"gone {sequence}"
            await store.append(gone, Record("p", 1, series=record(sequence).series))
            await store.forget(gone)


def say(text: str) -> None:
    """Write a line that is read at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(folder: Path) -> None:
    """Do it."""
    compaction.CHUNK_ROWS, compaction._OPEN_ROWS, compaction._ECHO = 8, 4, 8
    ledger.COMPACT_ROWS = 24

    async def run() -> None:
        await write(SqlStore(folder, 1 << 20, 1 << 20))

    asyncio.run(run())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
