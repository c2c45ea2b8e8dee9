"""From a step's extras and Keras' logs to what the session shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainmon.adapters import TokenTexts, would_wait
from trainmon.events import BatchEvent, EpochEvent

__all__ = ["EpochLogs", "StepExtras", "collect", "epoch_of"]


@dataclass(frozen=True)
class StepExtras:
    """What one step returned for us, still as the backend's arrays."""

    values: Mapping[str, Any]
    vocabulary: Sequence[str]


@dataclass(frozen=True)
class EpochLogs:
    """What Keras told at the end of an epoch."""

    logs: Mapping[str, Any]
    learning_rate: Any
    """A number, or an array of one element that may lie on a device; None: not known."""


def collect(raw: StepExtras) -> BatchEvent | None:
    """Return the samples of a step, as they lie on their device; None where it showed none."""
    values = dict(raw.values)
    count = values.pop("rows", None)
    if count is not None and not would_wait(count):
        whole = round(float(count))
        values = {name: each[:whole] if len(each.shape) else each for name, each in values.items()}
        count = None
    roles = ("images", "texts", "targets", "outputs", "sample_losses", "boxes")
    if not any(role in values for role in roles):
        return None
    return BatchEvent(
        images=values.get("images"),
        outputs=values.get("outputs"),
        targets=values.get("targets"),
        sample_losses=values.get("sample_losses"),
        mean_loss=values.get("mean_loss"),
        target_boxes=_boxes(values.get("boxes"), values.get("box_labels")),
        texts=_texts(values.get("texts"), raw.vocabulary),
        batch_size=values.get("size"),
        count=count,
    )


def _boxes(boxes: Any, labels: Any) -> list[dict[str, Any]] | None:
    """Return boxes (B, N, 4) and labels (B, N) as one mapping a sample."""
    if boxes is None:
        return None
    found: list[dict[str, Any]] = [{"boxes": boxes[row]} for row in range(len(boxes))]
    if labels is not None:
        for row, sample in enumerate(found):
            sample["labels"] = labels[row]
    return found


def _texts(texts: Any, vocabulary: Sequence[str]) -> Sequence[str] | None:
    if texts is None:
        return None
    if "int" not in str(texts.dtype):  # TensorFlow's strings, which no device holds
        return [_decoded(each) for each in np.asarray(texts).reshape(-1)]
    return TokenTexts(texts, lambda ids: _sentence(ids, vocabulary)) if vocabulary else None


def _sentence(ids: Any, vocabulary: Sequence[str]) -> str:
    return " ".join(_word(int(each), vocabulary) for each in ids if int(each))


def _word(index: int, vocabulary: Sequence[str]) -> str:
    return vocabulary[index] if 0 <= index < len(vocabulary) else f"[{index}]"


def _decoded(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def epoch_of(raw: EpochLogs) -> EpochEvent:
    """Return the end of an epoch as Keras' logs tell it."""
    logs = {name: value for name, value in raw.logs.items() if value is not None}
    accuracy = _accuracy_name(logs)
    named = {"loss", "val_loss", accuracy, f"val_{accuracy}", "learning_rate"}
    return EpochEvent(
        average_loss=logs.get("loss"),
        average_accuracy=logs.get(accuracy) if accuracy else None,
        validation_loss=logs.get("val_loss"),
        validation_accuracy=logs.get(f"val_{accuracy}") if accuracy else None,
        learning_rate=raw.learning_rate,
        metrics={name: value for name, value in logs.items() if name not in named},
    )


def _accuracy_name(logs: Mapping[str, Any]) -> str:
    names = [name for name in logs if not name.startswith("val_")]
    for wanted in ("accuracy", "acc"):
        if wanted in names:
            return wanted
    return next((name for name in names if name.endswith("accuracy")), "")
