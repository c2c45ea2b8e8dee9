"""An untouched script of two ranks, that logs the rate of every step.

``python ddp.py FOLDER STRATEGY``: each rank writes FOLDER/log-RANK. ``fsdp2`` is Lightning's
ModelParallelStrategy with torch's ``fully_shard``; Lightning refuses its older FSDP on a CPU.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from models import LABELS, PICTURES, Classifier, loader, trainer


class Log(pl.Callback):
    """Writes step and rate of each batch."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        with (Path(sys.argv[1]) / f"log-{trainer.global_rank}").open("a") as file:
            file.write(f"{trainer.global_step} {rate.hex()}\n")
        time.sleep(0.005)


class Plain(Classifier):
    """At one rate."""

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.hparams.rate)


class Sharded(Plain):
    """With each rank holding half of every parameter."""

    def configure_model(self) -> None:
        from torch.distributed.fsdp import fully_shard

        mesh = self.device_mesh["data_parallel"]
        for part in (self.net, self.head):
            fully_shard(part, mesh=mesh)


def main(folder: str, strategy: str) -> None:
    """Train until somebody stops it."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    module: Any = Plain()
    chosen: Any = strategy
    if strategy == "fsdp2":
        from lightning.pytorch.strategies import ModelParallelStrategy

        chosen = ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1)
        module = Sharded()
    fit = trainer(
        folder, [Log()], max_epochs=100_000, devices=2, strategy=chosen, num_sanity_val_steps=0
    )
    fit.fit(module, loader(PICTURES.repeat(4, 1, 1, 1), LABELS.repeat(4)), loader())


if __name__ == "__main__":
    main(*sys.argv[1:])
