"""Rerun, into a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rerun

from rivals.runner import run


class Rerun:
    """Logs each scalar, and each picture as JPEG, as we do."""

    def __init__(self, folder: Path) -> None:
        rerun.init("benchmark")
        rerun.save(str(folder / "benchmark.rrd"))

    def log(self, step: int, scalars: Mapping[str, float], images: Sequence[Any]) -> None:
        """Log a step."""
        rerun.set_time("step", sequence=step)
        for name, value in scalars.items():
            rerun.log(name, rerun.Scalars(value))
        for index, image in enumerate(images):
            rerun.log(f"image/{index}", rerun.Image(image).compress(jpeg_quality=85))

    def close(self) -> None:
        """Write what is left."""
        rerun.disconnect()


if __name__ == "__main__":
    run("rerun-sdk", Rerun)
