"""The Hugging Face Trainer, with a model of transformers' own kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contract import LINE, NOTHING, Log, Plan, main

PART = "hf_trainer"
NEEDS = ("transformers", "accelerate", "trainmon_hf_trainer")
FRAMEWORK = "transformers"
WAYS = (LINE, NOTHING)
CONTROLS = frozenset({"learning_rate", "save_checkpoint", "evaluate"})
SAMPLES = True
KNOB = "max_grad_norm"


def make_model() -> Any:
    """Make a model that returns its loss, as transformers' models do."""
    import torch

    class Model(torch.nn.Module):
        """Softmax regression."""

        def __init__(self) -> None:
            super().__init__()
            self.line = torch.nn.Linear(64, 3)

        def forward(self, pixel_values: Any, labels: Any) -> dict[str, Any]:
            logits = self.line(pixel_values.flatten(1))
            loss = torch.nn.functional.cross_entropy(logits, labels)
            self.loss = float(loss)
            return {"loss": loss, "logits": logits}

    return Model()


def make_account(plan: Plan, log: Log) -> Any:
    """Make the callback that writes down what the Trainer itself says."""
    from transformers import TrainerCallback

    class Account(TrainerCallback):
        """The user's side."""

        def __init__(self) -> None:
            self.rate = 0.0

        def on_pre_optimizer_step(self, *_: Any, optimizer: Any = None, **__: Any) -> None:
            self.rate = optimizer.param_groups[0]["lr"]

        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            epoch, batch = divmod(state.global_step - 1, plan.batches)
            log.batch(
                epoch=epoch, batch=batch, loss=given["model"].loss, learning_rate=self.rate,
                knob=args.max_grad_norm,
            )  # fmt: skip

        def on_evaluate(self, *_: Any, **__: Any) -> None:
            log.evaluated()

    return Account()


def train(plan: Plan, log: Log) -> Callable[[], object]:
    """Train as planned."""
    import numpy as np
    import torch
    from transformers import Trainer, TrainingArguments

    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    data = [
        {
            "pixel_values": generator.random((1, 8, 8), np.float32),
            "labels": int(generator.integers(0, 3)),
        }
        for _ in range(4 * plan.batches)
    ]
    arguments = TrainingArguments(
        output_dir=f"{plan.folder}/out",
        num_train_epochs=plan.epochs,
        per_device_train_batch_size=4,
        learning_rate=plan.learning_rate,
        lr_scheduler_type="constant",
        optim="sgd",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        max_grad_norm=0.0,
        save_total_limit=2,
    )
    callbacks: list[Any] = [make_account(plan, log)]
    if plan.way == LINE:
        from trainmon_hf_trainer import TrainmonCallback

        controls = {"pair": log.knob("pair")}
        callback = TrainmonCallback(**plan.session, controls=controls)
        callbacks.append(callback.add_control("counter", *log.knob("counter")))
    trainer = Trainer(
        make_model(), arguments, train_dataset=data, eval_dataset=data[:8], callbacks=callbacks
    )
    for _ in range(plan.fits):
        trainer.train()
        log.fit_ended()
    if plan.way == NOTHING:
        return lambda: None
    return lambda: callbacks[1].on_train_end(trainer.args, trainer.state, trainer.control)


if __name__ == "__main__":
    main(train)
