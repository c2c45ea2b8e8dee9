"""Relays that follow each other on one spool and one ring: real processes, a monitor that obeys."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from trainmon.channel import EXIT_FINAL, Kind, Word
from trainmon.channel.ring import _READER
from trainmon.relay.entry import Entry, RecordKind, metrics_of
from trainmon.relay.spool.journal import Journal
from trainmon.v1.control_pb2 import CommandState, ControlCommand, Pause
from trainmon.v1.telemetry_pb2 import TelemetryResponse


def entries_in(folder: Path) -> list[Entry]:
    """Return the records that a spool holds now."""
    if not folder.exists():
        return []
    journal = Journal(folder, 1 << 20)
    try:
        return journal.read(1, 1 << 30)
    finally:
        journal.close()


def kinds_in(folder: Path) -> list[RecordKind]:
    """Return the kinds of the records that a spool holds now."""
    return [entry.kind for entry in entries_in(folder)]


def steps_in(folder: Path) -> list[int]:
    """Return the steps whose losses a spool holds now."""
    entries = entries_in(folder)
    scalars = [metrics_of(entry) for entry in entries if entry.kind is RecordKind.SCALARS]
    return [int(step) for data in scalars for each in data.series for step in each.steps]


@pytest.fixture
async def unseen(monitor, trainer, eventually):
    """Give a training whose relay has put 50 steps on disk, and no monitor."""
    await monitor.stop()
    trainer.start()
    trainer.steps(50)
    await eventually(lambda: len(steps_in(trainer.spool)) == 50, "50 steps on disk")
    return trainer


async def killed(trainer, kill) -> None:
    """Kill the relay."""
    kill(trainer.process.pid)
    await trainer.ended()


async def test_what_a_killed_relay_had_taken_is_delivered_by_the_next(monitor, unseen, kill):
    """The ring has let go of it; the disk has not."""
    await killed(unseen, kill)
    unseen.steps(10)
    unseen.start()
    await monitor.start()
    await monitor.wait(lambda: len(monitor.losses()) == 60, "every loss")
    sequences = monitor.sequences()
    assert sequences == list(range(1, len(sequences) + 1))


async def test_what_is_on_disk_and_still_in_the_ring_is_taken_once(monitor, unseen, kill):
    """A relay that is killed between the write and the release leaves it in both."""
    await killed(unseen, kill)
    unseen.channel.records._positions[_READER] = 0
    unseen.start()
    await monitor.start()
    unseen.steps(10)
    await monitor.wait(lambda: len(monitor.losses()) >= 60, "every loss")
    assert len(monitor.losses()) == 60  # which fails where a step comes twice
    assert monitor.statuses().count("RUNNING") <= 2


async def test_the_mean_of_an_epoch_survives_the_relay_that_counted_it(monitor, unseen, kill):
    """The next one goes on with sum and number as of the last frame."""
    await killed(unseen, kill)
    unseen.start()
    unseen.steps(50)
    unseen.tell(Kind.EPOCH, epoch=0, global_step=99)
    await monitor.start()
    [data] = await monitor.wait(lambda: monitor.of("epoch_data"), "the epoch")
    assert data.average_loss == sum(range(100)) / 100


async def test_without_a_spool_no_mean_is_made_up(monitor, trainer, tmp_path, kill):
    """A relay that saw only the end of an epoch does not know it; the next epoch's it does."""
    (tmp_path / "file").write_text("")
    trainer.environment["TRAINMON_HOME"] = str(tmp_path / "file")
    trainer.start()
    trainer.steps(20)
    await monitor.wait(lambda: len(monitor.losses()) == 20, "the first losses")
    await killed(trainer, kill)
    trainer.start()
    trainer.steps(20)
    trainer.tell(Kind.EPOCH, epoch=0, global_step=39)
    trainer.steps(2, epoch=1)
    trainer.tell(Kind.EPOCH, epoch=1, global_step=41)
    first, second = await monitor.wait(
        lambda: len(monitor.of("epoch_data")) == 2 and monitor.of("epoch_data"), "both epochs"
    )
    assert not first.HasField("average_loss")
    assert second.average_loss == 40.5
    assert len(monitor.losses()) == 42


async def test_a_goodbye_is_kept_by_the_relay_that_follows(monitor, unseen, eventually, kill):
    """The training has said how it ended, and is gone: nobody makes a death of it."""
    unseen.tell(Kind.CLOSE, status="COMPLETED", message="over")

    def over() -> bool:
        journal = Journal(unseen.spool, 1 << 20)
        try:
            return b'"over":true' in journal.newest.state
        finally:
            journal.close()

    await eventually(over, "the goodbye is on disk")
    await killed(unseen, kill)
    unseen.start()
    await monitor.start()
    assert await unseen.ended() == EXIT_FINAL
    assert monitor.statuses()[-1] == "COMPLETED"
    assert monitor.statuses().count("COMPLETED") == 1
    assert not unseen.spool.exists()


async def test_with_little_room_rows_are_merged_and_nothing_of_their_extremes_is_lost(
    monitor, trainer, eventually
):
    """Everything is either there, merged with its number, or counted as refused."""
    await monitor.stop()
    trainer.environment["TRAINMON_SPOOL_BYTES"] = str(1 << 18)
    trainer.start()
    count = 20_000
    while trainer.step_number < count:
        await eventually(lambda: trainer.channel.records.used < 1 << 19, "room in the ring")
        trainer.steps(1000)
    trainer.tell(Kind.EPOCH, epoch=0, global_step=count - 1, average_loss=1.0)
    await eventually(lambda: not trainer.channel.records.used, "all was taken")
    size = sum(path.stat().st_size for path in trainer.spool.glob("*.frames"))
    assert size <= 1 << 18
    await monitor.start()
    await monitor.wait(lambda: monitor.of("epoch_data"), "the epoch")
    rows = [each for data in monitor.of("metric_data") for each in data.series]
    kept = sum(len(each.steps) for each in rows)
    counted = sum(sum(each.counts) or len(each.steps) for each in rows)

    def losses() -> dict[tuple[str, str], int]:
        told = [each.losses for each in monitor.of("performance_data")]
        return {(each.kind, each.reason): each.count for each in told[-1]} if told else {}

    await monitor.wait(lambda: ("scalars", "merged") in losses(), "the count")
    assert losses()["scalars", "merged"] == counted - kept > 0
    assert trainer.words[Word.RELAY_MERGED] == counted - kept
    assert counted + losses().get(("scalars", "queue_full"), 0) == count
    assert min(min(each.minimums or each.values) for each in rows) == 0
    steps = [step for each in rows for step in each.steps]
    assert steps == sorted(steps)


async def test_an_answer_is_shown_ahead_of_a_backlog(monitor, linked, eventually):
    """Without a number, at once; its numbered self comes in its turn."""
    monitor.acknowledges = False
    noise = np.random.default_rng(0).integers(0, 256, (16, 512, 512, 3), dtype=np.uint8)
    for step in range(4):
        await eventually(lambda: linked.channel.slots.free_slot() is not None, "a free slot")
        linked.frame({"images": noise}, tile_size=256, key_frame=True, live=False, global_step=step)
    await monitor.wait(lambda: monitor.of("batch_data"), "pictures under way")
    await eventually(lambda: kinds_in(linked.spool).count(RecordKind.KEY_FRAME) == 4, "all on disk")
    command = ControlCommand(command_id="c1", pause=Pause())
    await monitor.send(TelemetryResponse(command=command))
    [result] = await monitor.wait(lambda: monitor.of("command_result"), "the answer")
    assert result.state == CommandState.COMMAND_STATE_ACCEPTED
    first = next(each for each in monitor.requests if each.HasField("command_result"))
    assert not first.HasField("sequence")
    monitor.acknowledges = True
    await monitor.acknowledge(max(monitor.sequences()))
    await monitor.wait(
        lambda: [
            each
            for each in monitor.requests
            if each.HasField("command_result") and each.HasField("sequence")
        ],
        "the same in its turn",
    )


async def test_a_relay_says_that_earlier_runs_wait(monitor, unseen, kill, eventually, tmp_path):
    """Once, where it begins a run; one that follows another says nothing."""
    await killed(unseen, kill)
    unseen.start()
    await eventually(lambda: len(steps_in(unseen.spool)) == 50, "it has started")
    unseen.steps(1)
    await eventually(lambda: len(steps_in(unseen.spool)) == 51, "it works")
    assert "earlier" not in unseen.errors
    await killed(unseen, kill)
    other = type(unseen)(unseen.monitor, tmp_path / "other.log")
    other._log.touch()
    other.info["producer_id"] = "producer-2"
    other.start()
    try:
        await eventually(lambda: other.errors, "a line")
    finally:
        other.close()
    root = Path(os.environ["TRAINMON_HOME"]) / "spool"
    assert f"1 earlier run waits in {root}" in other.errors
    assert "`trainmon sync`" in other.errors


async def test_a_relay_waits_for_the_one_before_it_to_let_go(monitor, unseen, eventually):
    """A relay that was told to go still delivers, while the training has another started."""
    first = unseen.process
    first.terminate()
    unseen.start()
    unseen.steps(10)
    await eventually(lambda: first.poll() is not None, "the first is gone")
    await eventually(lambda: len(steps_in(unseen.spool)) == 60, "the second took over")
    assert "cannot be written" not in unseen.errors
    await monitor.start()
    await monitor.wait(lambda: len(monitor.losses()) == 60, "every loss")
