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
from trainmon.relay.boxes import boxes_of
from trainmon.relay.masks import encode_mask, is_of_several, predicted_classes, true_classes
from trainmon.relay.pictures import (
    MIN_EDGE,
    as_image,
    encode,
    normalize_layout,
    reduce_tile,
    to_bytes,
)
from trainmon.relay.predictions import NO_CLASS, Labels, describe
from trainmon.relay.sample_losses import gathered_losses, sample_losses
from trainmon.relay.tasks import Habits
from trainmon.v1.telemetry_pb2 import BatchData, GroundTruth, Prediction

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
    habits: Habits = field(default_factory=Habits)
    """What the frames before have shown of the run; this one adds to it."""
    problems: list[str] = field(default_factory=list)
    """What could not be shown, and why; the rest is."""
    _data: BatchData = field(default_factory=BatchData)
    _pictures: list[Image.Image] = field(default_factory=list)
    _masks: list[tuple[Prediction | GroundTruth, Array]] = field(default_factory=list)
    """Whose mask is of which classes."""

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
        self._try("masks", self._read_masks, arrays)
        self._try("boxes", self._read_boxes, arrays)
        self._try("texts", self._read_texts)
        self._try("tokens", self._read_tokens, arrays)
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
            sizes = arrays.get("image_sizes")
            pictures = (
                images
                if sizes is None
                else [
                    image[:height, :width]
                    for image, (height, width, *_) in zip(images, sizes, strict=True)
                ]
            )
            tiles = to_bytes(pictures, self.fields.get("normalization"))
            self._pictures = [as_image(each) for each in tiles]

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
            output_texts=tuple(self.fields.get("output_texts") or ()),
            target_texts=tuple(self.fields.get("target_texts") or ()),
            tokens=tuple(tuple(each) for each in self.fields.get("tokens") or ()),
        )

    def _classed(self, arrays: Mapping[str, Array], role: str) -> Array | None:
        """Return an array that holds something for each sample, not for each pixel."""
        return None if role in self._maps else arrays.get(role)

    @property
    def _maps(self) -> Mapping[str, int]:
        found: Mapping[str, int] = self.fields.get("maps") or {}
        return found

    def _read_predictions(self, arrays: Mapping[str, Array]) -> None:
        outputs, targets = (self._classed(arrays, role) for role in ("outputs", "targets"))
        drawn = self.fields.get("drawn") or {}
        if drawn:
            shapes = [f"{name} {tuple(shape)}" for name, shape in drawn.items()]
            self.problems.append(f"{' and '.join(shapes)} are pictures, of no task known here")
        if outputs is None and targets is None:
            return
        samples = describe(outputs, targets, self.labels, self.habits)
        if not samples.predictions and not samples.ground_truth:
            shapes = [
                f"{name} {arrays[name].shape}" for name in ("outputs", "targets") if name in arrays
            ]
            raise ValueError(f"{' and '.join(shapes)} are of no task known here")
        self._data.predictions.extend(samples.predictions)
        self._data.ground_truth.extend(samples.ground_truth)

    def _sides(self, name: str, count: int) -> Sequence[Prediction | GroundTruth]:
        """Return the predictions or the truths, as many as there are samples."""
        if name == "output":
            while len(self._data.predictions) < count:
                self._data.predictions.add(predicted_class=NO_CLASS)
            return self._data.predictions
        while len(self._data.ground_truth) < count:
            self._data.ground_truth.add(true_class=NO_CLASS)
        return self._data.ground_truth

    def _read_masks(self, arrays: Mapping[str, Array]) -> None:
        maps, outputs, targets = self._maps, arrays.get("outputs"), arrays.get("targets")
        of_two = False
        if "outputs" in maps and outputs is not None:
            axis = maps["outputs"]
            of_two = axis == 0 or outputs.shape[axis] == 1
            several = "targets" in maps and is_of_several(targets, maps["targets"])
            classes = predicted_classes(outputs, axis, several=several, habits=self.habits)
            self._masks += zip(self._sides("output", len(classes)), classes, strict=True)
        if "targets" in maps and targets is not None:
            classes = true_classes(targets, maps["targets"], binary=of_two)
            self._masks += zip(self._sides("target", len(classes)), classes, strict=True)

    def _read_boxes(self, arrays: Mapping[str, Array]) -> None:
        for name in ("output", "target"):
            boxes = arrays.get(f"{name}_boxes")
            if boxes is None:
                continue
            sizes = arrays.get("image_sizes")
            if sizes is None:
                raise ValueError("boxes without pictures have no place to be shown at")
            for side, rows, size in zip(self._sides(name, len(boxes)), boxes, sizes, strict=True):
                side.boxes.extend(boxes_of(rows, size, self.labels))

    def _read_texts(self) -> None:
        for name in ("output", "target"):
            texts = self.fields.get(f"{name}_texts") or ()
            for side, text in zip(
                self._sides(name, len(texts)) if texts else (), texts, strict=True
            ):
                side.text = wire.sample_text(text)

    def _read_tokens(self, arrays: Mapping[str, Array]) -> None:
        tokens = self.fields.get("tokens") or ()
        if not tokens:
            return
        losses = arrays.get("token_losses")
        if not self._data.texts:
            self._data.texts.extend(wire.sample_texts("".join(each) for each in tokens))
        for index, (data, told) in enumerate(zip(self._data.texts, tokens, strict=True)):
            for position, token in enumerate(told):
                scored = data.tokens.add(token=wire.sample_text(token))
                if losses is not None and not np.isnan(losses[index, position]):
                    scored.loss = float(losses[index, position])

    def _read_losses(self, arrays: Mapping[str, Array]) -> None:
        loss = self._data.batch_loss if self._data.HasField("batch_loss") else None
        losses: Array | None = None
        if "sample_losses" in arrays:
            losses = arrays["sample_losses"].reshape(-1).astype(np.float64)
        elif "batch_outputs" in arrays and "batch_targets" in arrays:
            task = self.habits.task_of(arrays["batch_outputs"], arrays["batch_targets"])
            losses = sample_losses(arrays["batch_outputs"], arrays["batch_targets"], loss, task)
            losses = None if losses is None else losses[arrays["sample_indices"]]
        elif "sample_batches" in arrays and not self._maps:
            task = self.habits.task_of(arrays["outputs"], arrays["targets"])
            losses = gathered_losses(
                arrays["outputs"],
                arrays["targets"],
                arrays.get("sample_steps"),
                arrays["sample_batches"],
                task,
            )
        if losses is not None:
            self._data.sample_losses.extend(losses)

    def message(self, quality: int, max_bytes: int) -> BatchData | None:
        """Return the frame encoded, its tiles halved until it fits; None: it cannot be made to.

        Args:
            quality: Of JPEGs, 1 to 95.
            max_bytes: Greatest message the monitor takes.
        """
        tile_size = self.tile_size
        pictures = self._pictures
        while True:
            del self._data.images[:]
            for picture in pictures:
                tile = reduce_tile(picture, tile_size)
                encode(tile, quality, max(picture.size), self._data.images.add())
            self._encode_masks(tile_size, [picture.size for picture in pictures])
            if self._data.ByteSize() + _ENVELOPE_BYTES <= max_bytes:
                return self._data
            if not (pictures or self._masks) or tile_size <= MIN_EDGE:
                return None
            tile_size = max(MIN_EDGE, tile_size // 2)

    def _encode_masks(self, tile_size: int, sizes: Sequence[tuple[int, int]]) -> None:
        for index, (side, classes) in enumerate(self._masks):
            # Of each kind there is one for each picture, in their order.
            size = sizes[index % len(sizes)] if sizes else None
            side.mask.CopyFrom(encode_mask(classes, tile_size, size))


def _read_only(array: Array) -> Array:
    view: Array = array.view()
    view.flags.writeable = False
    return view


def _drawn(picture: Any) -> Image.Image:
    """Check and copy what a plugin drew."""
    array = np.asarray(picture)
    if array.dtype != np.uint8:
        raise ValueError(f"a plugin drew pictures of type {array.dtype}; expected uint8")
    return as_image(normalize_layout(array[np.newaxis], channels_first=False)[0])
