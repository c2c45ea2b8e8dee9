"""Trackio, local."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rivals.runner import run


class Trackio:
    """Logs a row with its pictures."""

    def __init__(self, folder: Path) -> None:
        os.environ["TRACKIO_DIR"] = str(folder)
        os.environ["HF_HOME"] = str(folder)
        import trackio  # reads its folder from the environment when it is imported

        self._trackio = trackio
        trackio.init(project="benchmark", embed=False)

    def log(self, step: int, scalars: Mapping[str, float], images: Sequence[Any]) -> None:
        """Log a step."""
        row: dict[str, Any] = dict(scalars)
        row.update(
            (f"image/{index}", self._trackio.Image(each)) for index, each in enumerate(images)
        )
        self._trackio.log(row, step=step)

    def close(self) -> None:
        """Write what is left."""
        self._trackio.finish()


if __name__ == "__main__":
    run("trackio", Trackio)
