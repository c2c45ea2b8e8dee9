"""A training that writes each loss and the final weights to the last bit, with trainmon or alone.

``python sacred.py FOLDER [alone] [inductor]``: a model of pictures, then the same compiled; with
``inductor`` only that, by torch's own compiler, which needs one for C++.
"""

from __future__ import annotations

import hashlib
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from models import Classifier, loader, trainer

PICTURES = torch.rand(80, 1, 8, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.randint(0, 3, (80,), generator=torch.Generator().manual_seed(2))


class Log(pl.Callback):
    """Writes the loss of each batch."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def on_train_batch_end(self, _: Any, __: Any, outputs: Any, *___: Any) -> None:
        self.file.write(f"{float(outputs['loss']).hex()}\n")
        self.file.flush()
        time.sleep(0.02)  # so that there is time to disturb it


class Quiet(Classifier):
    """Logs nothing while it trains: Dynamo cannot trace Lightning's log."""

    def training_step(self, batch: Any, index: int) -> Any:
        images, labels = batch
        return torch.nn.functional.cross_entropy(self(images), labels)


def train(folder: Path, file: Any, alone: bool, backend: str = "") -> None:
    """Train one model, with all that is random or kept between steps; compiled by a backend."""
    pl.seed_everything(3)
    torch._dynamo.reset()
    module = Quiet() if backend else Classifier()
    callbacks: list[Any] = [Log(file)]
    if not alone:
        from trainmon_lightning import TrainmonCallback

        callbacks.append(TrainmonCallback())
    fit = trainer(
        folder, callbacks, max_epochs=3, precision="bf16-mixed", accumulate_grad_batches=2,
        val_check_interval=10, gradient_clip_val=1.0,
    )  # fmt: skip
    shown = torch.compile(module, backend=backend) if backend else module
    torch._dynamo.utils.counters.clear()
    fit.fit(shown, loader(PICTURES, LABELS), loader(PICTURES[:8], LABELS[:8]))
    weights = b"".join(each.detach().numpy().tobytes() for each in module.parameters())
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    logged = {name: float(value).hex() for name, value in fit.callback_metrics.items()}
    file.write(f"{logged} {graphs} graphs {hashlib.sha256(weights).hexdigest()}\n")
    file.flush()


def main() -> None:
    """Train."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    folder, alone = Path(sys.argv[1]), "alone" in sys.argv[2:]
    with (folder / "losses").open("w") as file:
        for backend in ("inductor",) if "inductor" in sys.argv[2:] else ("", "eager"):
            train(folder, file, alone, backend)


if __name__ == "__main__":
    main()
