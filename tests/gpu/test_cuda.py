"""What only a GPU shows. Runs where Torch finds one."""

from __future__ import annotations

from pathlib import Path

import pytest

import trainmon
from stack import stack
from viewer import viewer

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def train(address: str, steps: int, watched: bool) -> tuple[list[float], list[float]]:
    """Train a small network; return the losses and its weights at the end."""
    torch.manual_seed(0)
    device = torch.device("cuda")
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 64, 10)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    images = torch.rand(32, 3, 64, 64, device=device)
    targets = torch.randint(0, 10, (32,), device=device)
    losses = []
    with trainmon.start_session("cuda", monitor=address) as session:
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(steps):
                loss = torch.nn.functional.cross_entropy(outputs := model(images), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                session.batch_end(
                    images=images if watched else None,
                    outputs=outputs if watched else None,
                    targets=targets if watched else None,
                    loss=loss,
                    metrics={"accuracy": (outputs.argmax(1) == targets).float().mean()},
                )
                session.control_point(optimizer)
                losses.append(loss.detach())
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert session.counts["failures"] == 0
    return [float(each) for each in losses], model[1].weight.flatten().tolist()


def test_a_bare_loop_never_waits_for_the_device(tmp_path: Path) -> None:
    """Under Torch's sync debug mode the loop runs silently, and everything arrives."""
    with stack(tmp_path) as processes:
        _, monitor = processes.monitor()
        losses, weights = train(monitor, 300, watched=True)
        with viewer(monitor) as watcher:
            session = watcher.session()
            snapshot = watcher.snapshot(session.session_id)
        assert session.global_step >= 299
        assert len(snapshot.batch_data.images) == 16
        assert snapshot.batch_data.predictions[0].confidence > 0
        assert (losses, weights) == train("127.0.0.1:9", 300, watched=False)
