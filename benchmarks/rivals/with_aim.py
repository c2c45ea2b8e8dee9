"""Aim, into a local repository."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aim
from PIL import Image

from rivals.runner import run


class Aim:
    """Tracks scalars one by one, and the pictures as a list of JPEGs."""

    def __init__(self, folder: Path) -> None:
        self._run = aim.Run(
            repo=str(folder),
            system_tracking_interval=None,
            log_system_params=False,
            capture_terminal_logs=False,
        )

    def log(self, step: int, scalars: Mapping[str, float], images: Sequence[Any]) -> None:
        """Log a step."""
        for name, value in scalars.items():
            self._run.track(value, name=name, step=step)
        if len(images):
            pictures = [Image.fromarray(each) for each in images]
            told = [aim.Image(each, format="jpeg", quality=85) for each in pictures]
            self._run.track(told, name="images", step=step)

    def close(self) -> None:
        """Write what is left."""
        self._run.close()


if __name__ == "__main__":
    run("aim", Aim)
