"""One frame: from the arrays in a slot to a message within the monitor's limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from trainmon import wire
from trainmon.events import FrameEvent
from trainmon.relay.pictures import MIN_EDGE, encode, normalize_layout, reduce_tile, to_bytes
from trainmon.relay.predictions import Labels, describe, sample_losses
from trainmon.v1.telemetry_pb2 import BatchData

__all__ = ["Frame", "Renderer"]

Array = npt.NDArray[Any]
Renderer = Callable[[FrameEvent], Sequence[Any] | None]

_MAX_TILE = 512
_MAX_SAMPLES = 16
#: What a request holds beside the batch, in bytes.
_ENVELOPE_BYTES = 512


@dataclass
class Frame:
    """A frame on its way: :meth:`read` while it holds its slot, :meth:`message` after."""

    fields: Mapping[str, Any]
    """The FRAME record."""
    labels: Labels
    problems: list[str] = field(default_factory=list)
    """What could not be shown, and why; the rest is."""
    _data: BatchData = field(default_factory=BatchData)
    _pictures: list[Array] = field(default_factory=list)

    @property
    def live(self) -> bool:
        """Whether somebody watches."""
        return bool(self.fields.get("live"))

    @property
    def key_frame(self) -> bool:
        """Whether it is for the history."""
        return bool(self.fields.get("key_frame"))

    @property
    def tile_size(self) -> int:
        """Edge of a tile in pixels."""
        return min(max(int(self.fields.get("tile_size") or 0), MIN_EDGE), _MAX_TILE)

    def read(self, arrays: Mapping[str, Array], render: Renderer | None) -> None:
        """Take from the arrays all that is needed; they may change afterwards.

        Args:
            arrays: By role, see :mod:`trainmon.channel.frames`.
            render: Draws the samples in place of their pictures, where a plugin does.
        """
        self._data = wire.batch_data(self.fields)
        if "sample_steps" in arrays:
            self._data.sample_steps.extend(arrays["sample_steps"].astype(np.float64))
        self._try("images", self._read_pictures, arrays, render)
        self._try("outputs", self._read_predictions, arrays)
        self._try("sample losses", self._read_losses, arrays)

    def _try(self, what: str, read: Callable[..., None], *values: Any) -> None:
        try:
            read(*values)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            self.problems.append(f"{what}: {error}")

    def _read_pictures(self, arrays: Mapping[str, Array], render: Renderer | None) -> None:
        drawn = render(self._event(arrays)) if render is not None else None
        if drawn is not None:
            self._pictures = [_drawn(each) for each in drawn[:_MAX_SAMPLES]]
        elif "images" in arrays:
            first = bool(self.fields.get("channels_first"))
            images = normalize_layout(arrays["images"], channels_first=first)
            self._pictures = list(to_bytes(images, self.fields.get("normalization")))

    def _event(self, arrays: Mapping[str, Array]) -> FrameEvent:
        data = self._data
        return FrameEvent(
            global_step=data.global_step,
            epoch=data.epoch,
            batch_index=data.batch_index,
            tile_size=self.tile_size,
            arrays={name: _read_only(array) for name, array in arrays.items()},
            texts=tuple(text.text for text in data.texts),
            loss=data.batch_loss if data.HasField("batch_loss") else None,
        )

    def _read_predictions(self, arrays: Mapping[str, Array]) -> None:
        outputs, targets = arrays.get("outputs"), arrays.get("targets")
        if outputs is None and targets is None:
            return
        samples = describe(outputs, targets, self.labels)
        if not samples.predictions and not samples.ground_truth:
            shapes = [
                f"{name} {arrays[name].shape}" for name in ("outputs", "targets") if name in arrays
            ]
            raise ValueError(f"{' and '.join(shapes)} are of no task known here")
        self._data.predictions.extend(samples.predictions)
        self._data.ground_truth.extend(samples.ground_truth)

    def _read_losses(self, arrays: Mapping[str, Array]) -> None:
        if "sample_losses" in arrays:
            self._data.sample_losses.extend(arrays["sample_losses"].reshape(-1).astype(np.float64))
        elif "batch_outputs" in arrays and "batch_targets" in arrays:
            loss = self._data.batch_loss if self._data.HasField("batch_loss") else None
            losses = sample_losses(arrays["batch_outputs"], arrays["batch_targets"], loss)
            if losses is not None:
                self._data.sample_losses.extend(losses[arrays["sample_indices"]])

    def message(self, quality: int, max_bytes: int) -> BatchData | None:
        """Return the frame encoded, its tiles halved until it fits; None: it cannot be made to.

        Args:
            quality: Of JPEGs, 1 to 95.
            max_bytes: Greatest message the monitor takes.
        """
        tile_size = self.tile_size
        pictures = [Image.fromarray(_squeezed(each)) for each in self._pictures]
        while True:
            del self._data.images[:]
            for picture in pictures:
                tile = reduce_tile(picture, tile_size)
                self._data.images.append(encode(tile, quality, max(picture.size)))
            if self._data.ByteSize() + _ENVELOPE_BYTES <= max_bytes:
                return self._data
            if not pictures or tile_size <= MIN_EDGE:
                return None
            tile_size = max(MIN_EDGE, tile_size // 2)


def _read_only(array: Array) -> Array:
    view: Array = array.view()
    view.flags.writeable = False
    return view


def _drawn(picture: Any) -> Array:
    """Check and copy what a plugin drew."""
    array = np.asarray(picture)
    if array.dtype != np.uint8:
        raise ValueError(f"a plugin drew pictures of type {array.dtype}; expected uint8")
    drawn: Array = normalize_layout(array[np.newaxis], channels_first=False)[0].copy()
    return drawn


def _squeezed(picture: Array) -> Array:
    """Return a picture as Pillow wants it: without an axis for a single channel."""
    return np.ascontiguousarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
