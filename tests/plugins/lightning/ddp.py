"""An untouched script of two ranks, that logs the rate of every step.

``python ddp.py FOLDER STRATEGY``: each rank writes FOLDER/log-RANK.
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


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    fit = trainer(
        sys.argv[1], [Log()], max_epochs=100_000, devices=2, strategy=sys.argv[2],
        num_sanity_val_steps=0,
    )  # fmt: skip
    fit.fit(Plain(), loader(PICTURES.repeat(4, 1, 1, 1), LABELS.repeat(4)), loader())
