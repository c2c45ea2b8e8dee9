"""Modules, data and Trainers as people's scripts have them, small."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as people write it
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

TORCH = torch.Generator().manual_seed(0)
PICTURES = torch.rand(12, 1, 8, 8, generator=TORCH)
LABELS = torch.randint(0, 3, (12,), generator=TORCH)


class Classifier(pl.LightningModule):
    """The textbook's: a net, a loss by function, a rate that goes down."""

    def __init__(self, rate: float = 0.125) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.25))
        self.head = nn.Linear(16, 3)

    def forward(self, images: Any) -> Any:
        return self.head(self.net(images))

    def training_step(self, batch: Any, index: int) -> Any:
        images, labels = batch
        loss = F.cross_entropy(self(images), labels)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        images, labels = batch
        logits = self(images)
        self.log("val_loss", F.cross_entropy(logits, labels))
        self.log("val_acc", (logits.argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams.rate, momentum=0.5)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 ** (step // 2))
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


class OneStep(pl.LightningModule):
    """A net whose loss and step are told to it.

    Args:
        net: Makes predictions of ``batch[0]``.
        step: Returns what ``training_step`` is to, of net and batch.
    """

    def __init__(self, net: nn.Module, step: Any) -> None:
        super().__init__()
        self.net = net
        self.step = step

    def training_step(self, batch: Any, index: int) -> Any:
        return self.step(self.net, batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.125)


class Gan(pl.LightningModule):
    """Two nets, two optimizers, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = nn.Sequential(nn.Linear(4, 64), nn.Unflatten(1, (1, 8, 8)))
        self.judge = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))

    def training_step(self, batch: Any, index: int) -> None:
        images, _ = batch
        first, second = self.optimizers()
        ones, zeros = torch.ones(len(images), 1), torch.zeros(len(images), 1)
        made = self.generator(torch.randn(len(images), 4))
        self._train(first, F.binary_cross_entropy_with_logits(self.judge(made), ones))
        real = F.binary_cross_entropy_with_logits(self.judge(images), ones)
        false = F.binary_cross_entropy_with_logits(self.judge(made.detach()), zeros)
        self._train(second, (real + false) / 2)

    def _train(self, optimizer: Any, loss: Any) -> None:
        self.toggle_optimizer(optimizer)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        self.untoggle_optimizer(optimizer)

    def configure_optimizers(self) -> Any:
        return [
            torch.optim.SGD(self.generator.parameters(), lr=0.125),
            torch.optim.SGD(self.judge.parameters(), lr=0.25),
        ]


class ByNewton(Classifier):
    """With an optimizer that runs the step several times."""

    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)


class Stream(IterableDataset):
    """Without a length."""

    def __iter__(self) -> Any:
        return iter(zip(PICTURES, LABELS, strict=True))


class Named(Dataset):
    """With the names of its classes, and mappings as samples."""

    classes = ("zero", "one", "two")

    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, index: int) -> Any:
        return {"image": PICTURES[index], "label": LABELS[index], "id": index}


def line(outputs: int, inputs: int = 64) -> nn.Module:
    """Return a net of one layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs))


def loader(*arrays: Any, size: int = 4) -> Any:
    """Return batches of arrays."""
    return DataLoader(TensorDataset(*(arrays or (PICTURES, LABELS))), batch_size=size)


def trainer(folder: Any, callbacks: Any = (), **more: Any) -> pl.Trainer:
    """Return a Trainer that is quiet."""
    settings = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        **more,
    }
    return pl.Trainer(default_root_dir=folder, callbacks=list(callbacks), **settings)
