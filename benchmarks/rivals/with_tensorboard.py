"""TensorBoard, through its own writer, as Torch's SummaryWriter uses it."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from rivals.runner import run


class TensorBoard:
    """Writes event files: a summary for each scalar, and a PNG for each picture."""

    def __init__(self, folder: Path) -> None:
        self._writer = EventFileWriter(str(folder))

    def log(self, step: int, scalars: Mapping[str, float], images: Sequence[Any]) -> None:
        """Log a step."""
        for name, value in scalars.items():
            self._add(step, Summary.Value(tag=name, simple_value=value))
        for index, image in enumerate(images):
            file = io.BytesIO()
            Image.fromarray(image).save(file, "PNG")
            height, width, channels = image.shape
            picture = Summary.Image(
                height=height,
                width=width,
                colorspace=channels,
                encoded_image_string=file.getvalue(),
            )
            self._add(step, Summary.Value(tag=f"image/{index}", image=picture))

    def _add(self, step: int, value: Any) -> None:
        event = Event(wall_time=time.time(), step=step, summary=Summary(value=[value]))
        self._writer.add_event(event)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


if __name__ == "__main__":
    run("tensorboard", TensorBoard)
