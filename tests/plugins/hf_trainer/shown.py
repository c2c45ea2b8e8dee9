"""Trainings whose samples a monitor is to show as they are, each a run of its name.

``python shown.py FOLDER``.
"""

# ruff: noqa: D103 - the name of a training says what it is

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from models import fit, pictures, vit
from trainmon_hf_trainer import TrainmonCallback
from transformers import Trainer, ViTConfig, ViTForImageClassification
from transformers.image_processing_utils import BaseImageProcessor

#: Of every pixel, from 0 to 1, and how it was normalised.
LIGHT, MEAN, DEVIATION = 0.8, 0.5, 0.25


class Line(torch.nn.Module):
    """Softmax regression; channels may come last, targets may be shares or one number."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.line = torch.nn.Linear(192, classes)

    def forward(self, pixel_values: Any, labels: Any) -> Any:
        logits = self.line(pixel_values.flatten(1))
        if logits.shape[1] == 1:
            logits = logits[:, 0]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
        else:
            loss = torch.nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


def coloured(shape: tuple[int, ...], labels: Any) -> list[dict[str, Any]]:
    """Return pictures of one colour."""
    colour = np.array([1.0, 0.5, 0.0], np.float32)
    picture = np.broadcast_to(colour if shape[-1] == 3 else colour[:, None, None], shape)
    return [{"pixel_values": picture.copy(), "labels": labels(index)} for index in range(16)]


def normalised(folder: Path, ours: Any) -> None:
    pixels = np.full((1, 8, 8), (LIGHT - MEAN) / DEVIATION, np.float32)
    data = [{**each, "pixel_values": pixels} for each in pictures(16)]
    processor = BaseImageProcessor(
        do_normalize=True, do_rescale=True, image_mean=[MEAN], image_std=[DEVIATION]
    )
    fit(folder, vit(), data, ours=ours, processing_class=processor)


def class_label(folder: Path, ours: Any) -> None:
    told = {
        "pixel_values": [each["pixel_values"].tolist() for each in pictures(16)],
        "labels": [index % 3 for index in range(16)],
    }
    features = datasets.Features(
        pixel_values=datasets.Array3D((1, 8, 8), "float32"),
        labels=datasets.ClassLabel(names=["cat", "dog", "owl"]),
    )
    data = datasets.Dataset.from_dict(told, features=features).with_format("torch")
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = ViTConfig(
        image_size=8, patch_size=4, num_channels=1, intermediate_size=16, num_labels=3, **small
    )
    fit(folder, ViTForImageClassification(config), data, ours=ours)


def channels_last(folder: Path, ours: Any) -> None:
    fit(folder, Line(), coloured((8, 8, 3), lambda index: index % 3), ours=ours)


def channels_first(folder: Path, ours: Any) -> None:
    fit(folder, Line(), coloured((3, 8, 8), lambda index: index % 3), ours=ours)


def one_hot(folder: Path, ours: Any) -> None:
    shares = np.eye(3, dtype=np.float32)
    fit(folder, Line(), coloured((3, 8, 8), lambda index: shares[index % 3]), ours=ours)


def single_logit(folder: Path, ours: Any) -> None:
    fit(folder, Line(1), coloured((3, 8, 8), lambda index: float(index % 2)), ours=ours)


class Overridden(Trainer):
    """Has a step of its own, as in many a script."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        model.train()
        inputs = self._prepare_inputs(inputs)
        loss = self.compute_loss(model, inputs)
        self.accelerator.backward(loss)
        return loss.detach()


def overridden(folder: Path, ours: Any) -> None:
    fit(folder, vit(), pictures(16), ours=ours, kind=Overridden)


def half(folder: Path, ours: Any) -> None:
    data = [
        {**each, "pixel_values": each["pixel_values"].astype(np.float16)} for each in pictures(16)
    ]
    fit(folder, vit().half(), data, ours=ours)


def many_classes(folder: Path, ours: Any) -> None:
    data = coloured((3, 8, 8), lambda index: index % 3) * 16
    fit(folder, Line(1100), data, ours=ours, per_device_train_batch_size=256)


TRAININGS = [
    normalised, class_label, channels_last, channels_first, one_hot, single_logit, overridden, half,
    many_classes,
]  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    for training in TRAININGS:
        name = training.__name__
        training(Path(sys.argv[1]) / name, TrainmonCallback(name))
