"""What a monitor has of a picture, to the pixel."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("grpc")
pytest.importorskip("lightning", reason="no lightning found: it is not installed")

import torch

from stack import Stack
from trainmon.v1.dashboard_pb2 import GetBatchRequest
from viewer import viewer

HERE = Path(__file__).parent


@pytest.mark.timeout(120)
def test_pixels_and_losses(processes: Stack, tmp_path: Path) -> None:
    """The normalisation that was told is undone, and each of 16 samples has its loss."""
    _, address = processes.monitor()
    command = [sys.executable, str(HERE / "shown.py"), str(tmp_path)]
    child = processes.start(
        "shown", command, TRAINMON_MONITOR=address, TRAINMON_EXIT_TIMEOUT="20", OMP_NUM_THREADS="1"
    )
    child.pass_on(sys.stderr)
    assert child.wait(90) == 0
    with viewer(address) as seen:
        session = seen.in_state("COMPLETED").session_id
        request = GetBatchRequest(session_id=session, step=0)
        batch = seen._stub.GetBatch(request, timeout=10).batch_data
    assert len(batch.images) == len(batch.predictions) == len(batch.sample_losses) == 16
    pictures = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0)).numpy()
    wanted = np.rint(pictures.reshape(12, 8, 8) * 255)
    for image in batch.images:
        pixels = np.asarray(Image.open(io.BytesIO(image.image_bytes)), dtype=float)[::4, ::4]
        assert min(np.abs(wanted - pixels).max(axis=(1, 2))) <= 1
