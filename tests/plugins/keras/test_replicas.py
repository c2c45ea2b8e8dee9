"""TensorFlow's MirroredStrategy: one run, the pictures of its first replica, and every control."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from stack import eventually, lines
from trainmon.v1.control_pb2 import (
    AdjustLearningRate,
    CommandResult,
    Evaluate,
    Pause,
    Resume,
    SaveCheckpoint,
    Stop,
)
from trainmon.v1.dashboard_pb2 import GetBatchRequest, SessionState

PATIENCE_S = 200

if importlib.util.find_spec("tensorflow") is None or importlib.util.find_spec("keras") is None:
    pytest.skip("no keras found: TensorFlow's is needed", allow_module_level=True)

pytestmark = pytest.mark.timeout(400)  # a framework takes its time to be imported


def test_two_replicas_are_one_run(tmp_path: Path, trainings: Any) -> None:
    """All steps and epochs are there, and each picture has its prediction, truth and loss."""
    with trainings(tmp_path, "tensorflow", "replicas.py") as (child, seen):
        assert child.wait(PATIENCE_S) == 0
        session = seen.in_state("COMPLETED")
        assert session.global_step == 9
        snapshot = seen.snapshot(session.session_id)
        assert len(snapshot.epochs) == 2
        assert not [note for note in snapshot.notes if "Error" in note or "cannot" in note]
        request = GetBatchRequest(session_id=session.session_id, step=0)
        batch = seen._stub.GetBatch(request, timeout=10).batch_data
        parts = (batch.images, batch.predictions, batch.ground_truth)
        assert {len(part) for part in parts} <= {12, 16}
        assert all(parts)
        rates = seen.metrics(session.session_id, "learning_rate")["learning_rate"].values
        assert list(rates) == pytest.approx([0.1 * 0.5 ** (n / 10) for n in range(10)], rel=1e-4)


def _expected(name: str, step: int) -> float:
    return 0.1 * 0.5 ** (step / 1000) if name == "schedule" else 0.1


def test_two_replicas_are_steered(tmp_path: Path, trainings: Any) -> None:
    """Rate, by schedule and by number, checkpoint, evaluation, pause and stop, as without them."""
    with trainings(tmp_path, "tensorflow", "replicas.py", str(tmp_path)) as (child, seen):
        for name in ("schedule", "number"):
            session = eventually(
                lambda name=name: [
                    each.session_id
                    for each in seen.sessions()
                    if each.session_name == name and each.global_step > 3
                ],
                name,
                PATIENCE_S,
            )[0]

            def applied(session: str = session, **action: Any) -> CommandResult:
                sent = seen.send(session, **action)
                return seen.command(session, sent.command.command_id, "APPLIED").result

            log = tmp_path / f"rates-{name}"
            rate = applied(adjust_learning_rate=AdjustLearningRate(factor=0.25))
            assert rate.applied_value == pytest.approx(0.25 * rate.previous_value, rel=1e-6)
            after = rate.applied_at_step + 5
            eventually(lambda log=log: lines(log), "steps", PATIENCE_S, after.__le__)
            rates = [float(each) for each in log.read_text().splitlines()[:after]]
            factors = [each / _expected(name, step) for step, each in enumerate(rates)]
            wanted = [1.0] * rate.applied_at_step + [0.25] * 5
            assert factors == pytest.approx(wanted, rel=1e-4)

            assert "saved" in applied(save_checkpoint=SaveCheckpoint()).message
            assert "val_accuracy" in applied(evaluate=Evaluate()).message
            applied(pause=Pause())
            applied(resume=Resume())
            applied(stop=Stop())
        assert child.wait(PATIENCE_S) == 0
        assert {each.state for each in seen.sessions()} == {SessionState.SESSION_STATE_STOPPED}
    saved = list((tmp_path / "saved").iterdir())
    assert len(saved) == 2
    assert {path.suffix for path in saved} == {".keras"}
