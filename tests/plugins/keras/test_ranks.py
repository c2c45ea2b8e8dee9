"""Two processes of Torch that fit side by side are one run, steered at one step."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from stack import Stack, eventually, lines
from trainmon.cli.children import Child
from trainmon.v1.control_pb2 import (
    AdjustLearningRate,
    CommandRecord,
    CommandState,
    Evaluate,
    Pause,
    Resume,
    SaveCheckpoint,
    Stop,
)
from viewer import viewer

HERE = Path(__file__).parent
PATIENCE_S = 150

if importlib.util.find_spec("keras") is None or importlib.util.find_spec("torch") is None:
    pytest.skip("no keras found: Torch's is needed", allow_module_level=True)


SAVES = 6


def started(processes: Stack, monitor: str, folder: Path) -> Child:
    """Start both ranks, as torchrun does."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = processes.start(
        "ranks",
        [sys.executable, *launcher, str(HERE / "ranks.py"), str(folder)],
        KERAS_BACKEND="torch",
        TRAINMON_MONITOR=monitor,
        PYTHONPATH=str(HERE),
        OMP_NUM_THREADS="1",
    )
    script.pass_on(sys.stderr)
    return script


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_commands_take_effect_at_one_step(processes: Stack, tmp_path: Path) -> None:
    """Rates are equal at every step of both ranks; pause and stop leave neither waiting.

    Of both only the first saves, each time a whole file; both evaluate; what one cannot do is
    done by none.
    """
    _, address = processes.monitor()
    script = started(processes, address, tmp_path)
    logs = [tmp_path / f"log-{rank}" for rank in (0, 1)]

    def at_step(step: int) -> None:
        for log in logs:
            eventually(lambda log=log: lines(log), f"step {step}", PATIENCE_S, step.__le__)

    with viewer(address) as seen:
        run = seen.session(lambda summary: len(summary.ranks) == 2, PATIENCE_S).session_id

        def ended(**action: object) -> CommandRecord:
            sent = seen.send(run, **action)
            return seen.command(run, sent.command.command_id, "APPLIED", "REJECTED", "EXPIRED")

        def applied(**action: object) -> str:
            record = ended(**action)
            message: str = record.result.message
            assert record.state == CommandState.COMMAND_STATE_APPLIED, message
            return message

        at_step(3)
        for factor in (0.5, 0.25, 3.0):
            applied(adjust_learning_rate=AdjustLearningRate(factor=factor))
            at_step(lines(logs[0]) + 1)
        # The first rank has such an optimizer: it is the other's vote that refuses.
        refused = ended(adjust_learning_rate=AdjustLearningRate(factor=2, optimizer_index=1))
        assert refused.state == CommandState.COMMAND_STATE_REJECTED
        assert refused.result.message == "rank 1: this model has no such optimizer"
        told = [applied(save_checkpoint=SaveCheckpoint()) for _ in range(SAVES)]
        saved = sorted(path.name for path in (tmp_path / "saved").iterdir())
        assert len(saved) == SAVES
        assert all(name in message for name, message in zip(saved, sorted(told), strict=True))
        applied(evaluate=Evaluate())
        for rank in (0, 1):
            evaluated = tmp_path / f"evaluated-{rank}"
            eventually(lambda log=evaluated: lines(log), "evaluations", PATIENCE_S, (1).__eq__)
        applied(pause=Pause())
        seen.in_state("PAUSED")
        applied(resume=Resume())
        seen.send(run, stop=Stop())
        seen.in_state("STOPPED", 60)
    assert script.wait(PATIENCE_S) == 0
    rates = [log.read_text().split() for log in logs]
    assert rates[0] == rates[1]
    assert len(set(rates[0])) == 4
