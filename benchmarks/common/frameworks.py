"""A training in a framework that times its own steps: one line of JSON with mean and p99 in ms.

    python -m common.frameworks FRAMEWORK STEPS --alone | --shown

FRAMEWORK is one of those in ``TRAININGS``. Pictures are 32×32 with three channels, the batch is 32,
the network has two convolutions: some milliseconds a step on one core. Prints ``registered`` once
50 steps are over, and goes on when it is told to. ``--shown`` gives the framework our callback;
``TRAINMON_MONITOR`` says which monitor.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from common.report import percentile

BATCH, BATCHES, WARM = 32, 64, 50


class Clock:
    """Notes the time between two batches.

    Args:
        steps: Batches to time, after those that warm up.
    """

    def __init__(self, steps: int) -> None:
        self._left = WARM + steps
        self._times: list[float] = []
        self._last = 0.0

    def tick(self) -> bool:
        """Note that a batch begins; return whether enough have been timed."""
        now = time.perf_counter()
        self._times.append((now - self._last) * 1e3)
        self._left -= 1
        if len(self._times) == WARM + 1:
            print("registered", flush=True)
            sys.stdin.readline()
            self._times = [0.0] * (WARM + 1)
        self._last = time.perf_counter()
        return self._left <= 0

    def tell(self) -> None:
        """Print what was timed."""
        times = self._times[WARM + 1 :]
        print(json.dumps({"mean": sum(times) / len(times), "p99": percentile(times, 0.99)}))


def data() -> tuple[Any, Any]:
    """Return pictures (N, 32, 32, 3), float32 from 0 to 1, and their classes (N,)."""
    random = np.random.default_rng(0)
    count = BATCH * BATCHES
    return random.random((count, 32, 32, 3), np.float32), random.integers(0, 10, count)


def _keras(clock: Clock, shown: bool) -> None:
    import keras
    from keras import layers

    class Timed(keras.callbacks.Callback):  # type: ignore[misc] # keras has no types
        # At the beginning: one that asks for the end of a batch makes Keras wait for its logs.
        def on_train_batch_begin(self, *_: Any, **__: Any) -> None:
            if clock.tick():
                self.model.stop_training = True

    x, y = data()
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Conv2D(32, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    callbacks: list[Any] = [Timed()]
    if shown:
        from trainmon_keras import TrainmonCallback

        callbacks.append(TrainmonCallback())
    model.fit(x, y, batch_size=BATCH, epochs=10**6, verbose=0, callbacks=callbacks)


def _network() -> Any:
    import torch

    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.LazyLinear(10),
    )


def _tensors() -> tuple[Any, Any]:
    import torch

    x, y = data()
    return torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(y)


def _lightning(clock: Clock, shown: bool) -> None:
    import lightning.pytorch as pl
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    class Model(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = _network()
            self.network(torch.zeros(1, 3, 32, 32))

        def training_step(self, batch: Any, _: int) -> Any:
            images, labels = batch
            return torch.nn.functional.cross_entropy(self.network(images), labels)

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters())

    class Timed(pl.Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            if clock.tick():
                trainer.should_stop = True

    callbacks: list[Any] = [Timed()]
    if shown:
        from trainmon_lightning import TrainmonCallback

        callbacks.append(TrainmonCallback())
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Model(), DataLoader(TensorDataset(*_tensors()), batch_size=BATCH))


def _hf_trainer(clock: Clock, shown: bool) -> None:
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = _network()
            self.network(torch.zeros(1, 3, 32, 32))

        def forward(self, pixel_values: Any, labels: Any) -> Any:
            logits = self.network(pixel_values)
            return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}

    class Timed(TrainerCallback):
        def on_step_begin(self, *told: Any, **_: Any) -> Any:
            control = told[2]
            control.should_training_stop = clock.tick()
            return control

    x, y = _tensors()
    rows = [{"pixel_values": x[index], "labels": y[index]} for index in range(len(x))]
    callbacks: list[Any] = [Timed()]
    if shown:
        from trainmon_hf_trainer import TrainmonCallback

        callbacks.append(TrainmonCallback())
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=BATCH,
            max_steps=10**6,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        )
        Trainer(Model(), arguments, train_dataset=rows, callbacks=callbacks).train()


TRAININGS: dict[str, Callable[[Clock, bool], None]] = {
    "keras-tensorflow": _keras,
    "keras-jax": _keras,
    "keras-torch": _keras,
    "lightning": _lightning,
    "hf-trainer": _hf_trainer,
}


def main() -> None:
    """Train and print."""
    name, steps, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if name.startswith("keras-"):
        os.environ["KERAS_BACKEND"] = name.removeprefix("keras-")
    clock = Clock(steps)
    TRAININGS[name](clock, how == "--shown")
    clock.tell()


if __name__ == "__main__":
    main()
