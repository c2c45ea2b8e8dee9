"""TensorFlow's MirroredStrategy: one run, the pictures of its first replica."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from trainmon.v1.dashboard_pb2 import GetBatchRequest

PATIENCE_S = 200


@pytest.mark.timeout(300)  # a framework takes its time to be imported
def test_two_replicas_are_one_run(tmp_path: Path, trainings: Any) -> None:
    """All steps and epochs are there, and each picture has its prediction, truth and loss."""
    if importlib.util.find_spec("tensorflow") is None or importlib.util.find_spec("keras") is None:
        pytest.skip("no keras found: TensorFlow's is needed")
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
