"""A fit on Torch in each of two processes of one group, until it is stopped from the page.

``torchrun --nproc-per-node 2 ranks.py FOLDER`` writes the rate of each step of each rank.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch.distributed
from keras import layers

from trainmon_keras import TrainmonCallback


class Log(keras.callbacks.Callback):
    """Writes the rate each batch is trained with."""

    def __init__(self, file: Any, folder: Path) -> None:
        super().__init__()
        self.file = file
        self.folder = folder

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.file.write(f"{rate.hex()}\n")
        self.file.flush()
        time.sleep(0.02)  # so that there are steps left to steer
        torch.distributed.barrier()  # as a training whose ranks share their gradients

    def on_test_end(self, logs: Any = None) -> None:
        with self.folder.joinpath(f"evaluated-{torch.distributed.get_rank()}").open("a") as file:
            file.write("evaluated\n")


def main() -> None:
    """Train."""
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    x = np.random.default_rng(rank).random((64, 8, 8, 1), np.float32)
    y = np.arange(64) % 3
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")]
    )
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    if rank == 0:
        model.other = keras.optimizers.SGD(0.5)  # so that the ranks do not agree about all
    folder = Path(sys.argv[1])
    with (folder / f"log-{rank}").open("w") as file:
        callbacks = [Log(file, folder), TrainmonCallback("ranks", checkpoints=folder / "saved")]
        model.fit(
            x, y, batch_size=8, epochs=1000, verbose=0, callbacks=callbacks,
            validation_data=(x[:16], y[:16]), validation_freq=1000,
        )  # fmt: skip
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
