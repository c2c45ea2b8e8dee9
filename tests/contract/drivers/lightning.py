"""Lightning, by the package that ``import lightning`` brings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contract import LINE, NOTHING, Log, Plan, main

PART = "lightning"
NEEDS = ("lightning", "trainmon_lightning")
FRAMEWORK = "lightning"
WAYS = (LINE, NOTHING)
CONTROLS = frozenset({"learning_rate", "save_checkpoint", "evaluate"})
SAMPLES = True
KNOB = "gradient_clip_val"
#: Where the Trainer is from; the other package's driver is this one with another name here.
PACKAGE = "lightning.pytorch"


def train(plan: Plan, log: Log, package: str = PACKAGE) -> Callable[[], object]:
    """Train as planned."""
    import warnings
    from importlib import import_module

    import torch

    pl: Any = import_module(package)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    callbacks: list[Any] = [_account(pl, log)]
    if plan.way == LINE:
        from trainmon_lightning import TrainmonCallback

        controls = {"pair": log.knob("pair")}
        callback = TrainmonCallback(**plan.session, controls=controls)
        callbacks.append(callback.add_control("counter", *log.knob("counter")))
    model, loaders = _model(pl, plan), _loaders(plan)
    for _ in range(plan.fits):
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=plan.epochs,
            callbacks=callbacks,
            default_root_dir=plan.folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(model, *loaders)
        log.fit_ended()
    if plan.way == NOTHING:
        return lambda: None
    return lambda: callbacks[1].teardown(trainer, model, "fit")


def _model(pl: Any, plan: Plan) -> Any:
    import torch

    class Model(pl.LightningModule):  # type: ignore[misc] # Lightning is not typed here
        """Softmax regression."""

        def __init__(self) -> None:
            super().__init__()
            self.line = torch.nn.Linear(64, 3)

        def training_step(self, batch: Any, _: int) -> Any:
            images, labels = batch
            return torch.nn.functional.cross_entropy(self.line(images.flatten(1)), labels)

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", self.training_step(batch, index))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=plan.learning_rate)

    return Model()


def _account(pl: Any, log: Log) -> Any:
    class Account(pl.Callback):  # type: ignore[misc] # Lightning is not typed here
        """The user's side: what Lightning itself says."""

        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            self.rate = trainer.optimizers[0].param_groups[0]["lr"]

        def on_train_batch_end(
            self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int
        ) -> None:
            epoch, loss = trainer.current_epoch, float(outputs["loss"])
            log.batch(
                epoch=epoch, batch=index, loss=loss, learning_rate=self.rate,
                knob=trainer.gradient_clip_val,
            )  # fmt: skip

        def on_validation_end(self, trainer: Any, module: Any) -> None:
            if not trainer.sanity_checking:
                log.evaluated()

    return Account()


def _loaders(plan: Plan) -> tuple[Any, Any]:
    """Return batches to train and to validate with."""
    import numpy as np
    import torch
    from torch.utils.data import DataLoader, Subset, TensorDataset

    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.random((4 * plan.batches, 1, 8, 8), np.float32))
    labels = torch.from_numpy(generator.integers(0, 3, 4 * plan.batches))
    data = TensorDataset(images, labels)
    return DataLoader(data, batch_size=4), DataLoader(Subset(data, range(8)), batch_size=4)


if __name__ == "__main__":
    main(train)
