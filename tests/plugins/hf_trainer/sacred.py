"""A training that writes each loss and the final weights to the last bit, with trainmon or alone.

``python sacred.py FOLDER [alone] [inductor]``: a model of pictures, then the same compiled; with
``inductor`` only that, by torch's own compiler, which needs one for C++.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path
from typing import Any

import torch
from models import pictures, vit
from transformers import Trainer, TrainerCallback, TrainingArguments


class Log(TrainerCallback):
    """Writes the loss of each batch, as the model returned it."""

    def __init__(self, file: Any, model: Any) -> None:
        self.file = file
        self.loss: Any = None
        loss_function = model.loss_function

        def hear(*given: Any, **named: Any) -> Any:
            self.loss = loss_function(*given, **named)
            return self.loss

        model.loss_function = hear

    def on_substep_end(self, *_: Any, **__: Any) -> None:
        self.file.write(f"{float(self.loss).hex()}\n")
        self.file.flush()
        time.sleep(0.02)  # so that there is time to disturb it

    on_step_end = on_substep_end


class Logged(TrainerCallback):
    """Writes the loss of each update, as the Trainer has it: a compiled model lets none listen."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def on_log(self, *_: Any, logs: Any = None, **__: Any) -> None:
        if "loss" in logs:
            self.file.write(f"{float(logs['loss']).hex()}\n")
            self.file.flush()
            time.sleep(0.02)  # as above


def train(folder: Path, file: Any, alone: bool, **more: Any) -> None:
    """Train one model, with all that is random or kept between steps."""
    model = vit(hidden_dropout_prob=0.3)
    callbacks: list[Any] = [Logged(file) if more else Log(file, model)]
    if not alone:
        from trainmon_hf_trainer import TrainmonCallback

        callbacks.append(TrainmonCallback())
    arguments = TrainingArguments(
        str(folder), num_train_epochs=3, per_device_train_batch_size=4, use_cpu=True, bf16=True,
        gradient_accumulation_steps=2, eval_strategy="epoch", save_strategy="no", warmup_steps=5,
        report_to="none", disable_tqdm=True, logging_steps=1, **more,
    )  # fmt: skip
    data = pictures(80)
    trainer = Trainer(
        model, arguments, train_dataset=data, eval_dataset=data[:8], callbacks=callbacks
    )
    trainer.train()
    weights = b"".join(each.detach().numpy().tobytes() for each in model.parameters())
    logged = [each.get("loss", each.get("eval_loss")) for each in trainer.state.log_history]
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    file.write(f"{logged} {graphs} graphs {hashlib.sha256(weights).hexdigest()}\n")
    file.flush()


def main() -> None:
    """Train."""
    torch.set_num_threads(1)
    folder, alone = Path(sys.argv[1]), "alone" in sys.argv[2:]
    with (folder / "losses").open("w") as file:
        inductor = "inductor" in sys.argv[2:]
        if not inductor:
            train(folder, file, alone)
        backend = "inductor" if inductor else "eager"
        train(folder, file, alone, torch_compile=True, torch_compile_backend=backend)


if __name__ == "__main__":
    main()
