"""Each scheduler of Torch under Lightning's Trainer, as it is and changed in mid-run.

``python schedules.py FOLDER`` writes FOLDER/facts.json: the rate of every update, by its name.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from account import Account
from models import Classifier, loader, trainer
from trainmon_lightning import TrainmonCallback

from schedulers import CHANGES, MAKERS, STEPS
from trainmon.events import ControlCommand, ControlKind

FACTOR = 0.25
ACCOUNT = Account()


class Scheduled(Classifier):
    """With two groups, the second at a tenth of the first, and one of the schedulers."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def training_step(self, batch: Any, index: int) -> Any:
        self.log("found", 1.0)  # the same each time, as what a plateau is made of
        return super().training_step(batch, index)

    def configure_optimizers(self) -> Any:
        groups = [
            {"params": self.net.parameters()},
            {"params": self.head.parameters(), "lr": 0.01},
        ]
        optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
        schedule = {"scheduler": MAKERS[self.name](optimizer), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": {**schedule, "monitor": "found"}}


class Rates(pl.Callback):
    """The rates with which each update is made; asks for others before some of them."""

    def __init__(self, ours: TrainmonCallback, changes: Sequence[int]) -> None:
        self.rates: list[list[float]] = []
        self._ours, self._changes = ours, changes

    def on_before_optimizer_step(self, _: Any, __: Any, optimizer: Any) -> None:
        self.rates.append([float(group["lr"]) for group in optimizer.param_groups])

    def on_train_batch_end(self, *_: Any) -> None:
        if len(self.rates) in self._changes:
            session: Any = self._ours.session
            command = ControlCommand("c", ControlKind.ADJUST_LEARNING_RATE, factor=FACTOR)
            outcome = session._manager.apply_control("lightning", session, command)
            assert outcome.applied, outcome.message


def rates_of(folder: Path, name: str, changes: Sequence[int]) -> list[list[float]]:
    """Return the rates of every update, scaled after each of some of them."""
    ours = TrainmonCallback()
    told = Rates(ours, changes)
    fit = trainer(folder, [ours, told], max_epochs=-1, max_steps=STEPS)
    fit.fit(Scheduled(name), loader())
    return told.rates


def main() -> None:
    """Train with each."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    ACCOUNT.listen()
    facts = {}
    for name in MAKERS:
        plain = rates_of(Path(sys.argv[1]), name, ())
        told = [metrics["learning_rate"] for metrics in ACCOUNT.facts()["metrics"]]
        changed = rates_of(Path(sys.argv[1]), name, CHANGES)
        notes = ACCOUNT.facts()["notes"]
        facts[name] = {"plain": plain, "told": told, "changed": changed, "notes": notes}
    (Path(sys.argv[1]) / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
