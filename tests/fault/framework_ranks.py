"""A framework's training of two ranks, each of which logs the rate of every update.

python framework_ranks.py FOLDER hf|lightning, as torchrun starts it; nothing in here knows
trainmon. A collective fails after five seconds.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

STEPS = 100_000
TIMEOUT_S = 5


class Numbers(torch.utils.data.Dataset):
    """Inputs and their sums."""

    def __len__(self) -> int:
        return 4096

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        inputs = torch.randn(4, generator=torch.Generator().manual_seed(index))
        return {"inputs": inputs, "labels": inputs.sum(0, keepdim=True)}


class Net(torch.nn.Module):
    """One layer, as transformers wants a model."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return loss and predictions."""
        logits = self.layer(inputs)
        time.sleep(0.005)
        return {"loss": (logits - labels).square().mean(), "logits": logits}


def log_of(folder: Path) -> Any:
    """Open this rank's log, written line by line."""
    return (folder / f"log-{os.environ.get('RANK', '0')}").open("w", buffering=1)


def hf(folder: Path) -> None:
    """Train with the Hugging Face Trainer."""
    import transformers

    log = log_of(folder)

    class Logs(transformers.TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            log.write(f"{state.global_step} {given['optimizer'].param_groups[0]['lr'].hex()}\n")

    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "out"),
        max_steps=STEPS,
        use_cpu=True,
        ddp_backend="gloo" if "RANK" in os.environ else None,
        ddp_timeout=TIMEOUT_S,
        lr_scheduler_type="constant",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        learning_rate=1e-3,
    )
    few = torch.utils.data.Subset(Numbers(), range(16))
    trainer = transformers.Trainer(
        model=Net(), args=arguments, train_dataset=Numbers(), eval_dataset=few, callbacks=[Logs()]
    )
    trainer.train()


def lightning(folder: Path) -> None:
    """Train with Lightning."""
    import lightning.pytorch as pl
    from lightning.pytorch.strategies import DDPStrategy

    log = log_of(folder)

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return self.net(**batch)["loss"]

        def validation_step(self, batch: Any, index: int) -> None:
            self.net(**batch)

        def on_before_optimizer_step(self, optimizer: Any) -> None:
            log.write(f"{self.global_step} {optimizer.param_groups[0]['lr'].hex()}\n")

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=1e-3)

    trainer = pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=2,
        strategy=DDPStrategy(timeout=timedelta(seconds=TIMEOUT_S)),
        max_steps=STEPS,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    few = torch.utils.data.Subset(Numbers(), range(16))
    loaders = (torch.utils.data.DataLoader(each, batch_size=8) for each in (Numbers(), few))
    trainer.fit(Module(), *loaders)


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"hf": hf, "lightning": lightning}[sys.argv[2]](Path(sys.argv[1]))
