"""Weights & Biases, offline."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_CONSOLE="off")

import wandb

from rivals.runner import run


class Wandb:
    """Logs a row with its pictures, as JPEG."""

    def __init__(self, folder: Path) -> None:
        self._run = wandb.init(project="benchmark", dir=str(folder))

    def log(self, step: int, scalars: Mapping[str, float], images: Sequence[Any]) -> None:
        """Log a step."""
        row: dict[str, Any] = dict(scalars)
        if len(images):
            row["images"] = [wandb.Image(each, file_type="jpg") for each in images]
        self._run.log(row, step=step)

    def close(self) -> None:
        """Write what is left."""
        self._run.finish()


if __name__ == "__main__":
    run("wandb", Wandb)
