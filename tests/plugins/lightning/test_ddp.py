"""Two ranks of an untouched script: one session, and every command at one step."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("grpc")
pytest.importorskip("lightning", reason="no lightning found: it is not installed")

from stack import Stack, eventually, lines
from trainmon.v1.control_pb2 import (
    AdjustLearningRate,
    Evaluate,
    Pause,
    Resume,
    SaveCheckpoint,
    Stop,
)
from trainmon.v1.telemetry_pb2 import BatchData
from viewer import Viewer, viewer

HERE = Path(__file__).parent
PATIENCE_S = 150


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn", "fsdp2"])
def test_commands_take_effect_at_one_step(processes: Stack, tmp_path: Path, strategy: str) -> None:
    """Rates are equal at every step, and checkpoint, validation, pause and stop hang no rank."""
    _, address = processes.monitor()
    script = processes.start(
        "ranks",
        [sys.executable, str(HERE / "ddp.py"), str(tmp_path), strategy],
        TRAINMON_MONITOR=address,
        PYTHONPATH=str(HERE),
        OMP_NUM_THREADS="1",
    )
    script.pass_on(sys.stderr)
    logs = [tmp_path / f"log-{rank}" for rank in (0, 1)]

    def at_step(step: int) -> None:
        for log in logs:
            eventually(lambda log=log: lines(log), f"step {step}", PATIENCE_S, step.__le__)

    with viewer(address) as seen:
        joined = seen.session(lambda summary: len(summary.ranks) == 2, PATIENCE_S).session_id

        def applied(**action: object) -> None:
            sent = seen.send(joined, **action)
            record = seen.command(joined, sent.command.command_id, "APPLIED", "REJECTED", "EXPIRED")
            assert not record.result.message.startswith("rank"), record.result.message
            at_step(lines(logs[0]) + 1 if "pause" not in action else 1)

        at_step(5)
        assert {each.true_class for each in _picture(seen, joined).ground_truth} <= {0, 1, 2}
        for factor in (0.5, 0.25, 3.0):
            applied(adjust_learning_rate=AdjustLearningRate(factor=factor))
        applied(save_checkpoint=SaveCheckpoint())
        applied(evaluate=Evaluate())
        applied(pause=Pause())
        seen.in_state("PAUSED")
        applied(resume=Resume())
        seen.send(joined, stop=Stop())
        seen.in_state("STOPPED", 60)
    assert script.wait(PATIENCE_S) == 0
    # Of sharded parameters a folder with a file of each rank.
    (saved,) = (tmp_path / "checkpoints").glob("trainmon-step=*.ckpt")
    assert saved.is_dir() == (strategy == "fsdp2")
    rates = [log.read_text().splitlines() for log in logs]
    assert rates[0] == rates[1]
    assert len({line.split()[1] for line in rates[0]}) == 4


def _picture(seen: Viewer, session: str) -> BatchData:
    """Return a picture in which each sample has its prediction and its truth."""
    stream = seen.watch(session)
    try:
        pictures = (event.batch_data for event in stream if event.HasField("batch_data"))
        return next(each for each in pictures if _lengths(each) == {16})
    finally:
        stream.cancel()  # type: ignore[attr-defined] # a grpc call, which is an iterator too


def _lengths(picture: BatchData) -> set[int]:
    return {len(part) for part in (picture.images, picture.predictions, picture.ground_truth)}
