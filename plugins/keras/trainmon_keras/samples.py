"""From a step's extras and Keras' logs to what the session shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

import numpy as np

from trainmon.events import BatchEvent, EpochEvent

__all__ = ["EpochLogs", "StepExtras", "collect", "epoch_of"]

_LOSS_SLACK = 1e-3


@dataclass(frozen=True)
class StepExtras:
    """What one step returned for us, still as the backend's arrays."""

    values: Mapping[str, Any]
    host: Callable[[Any], Any]
    loss: float | None
    vocabulary: Sequence[str]


@dataclass(frozen=True)
class EpochLogs:
    """What Keras told at the end of an epoch."""

    logs: Mapping[str, Any]
    learning_rate: float | None


def collect(raw: StepExtras) -> BatchEvent | None:
    """Return the samples of a step; None where it showed none."""
    values = {name: raw.host(value) for name, value in raw.values.items()}
    rows = values.pop("rows", None)
    if rows is not None:  # of several replicas the first's, padded
        count = round(float(rows))
        values = {name: each[:count] if np.ndim(each) else each for name, each in values.items()}
    roles = ("images", "texts", "targets", "outputs", "sample_losses")
    if not any(role in values for role in roles):
        return None
    size = values.get("size")
    targets, outputs = _truth_and_prediction(values.get("targets"), values.get("outputs"))
    return BatchEvent(
        images=values.get("images"),
        outputs=outputs,
        targets=targets,
        sample_losses=_losses(values, raw.loss),
        texts=_texts(values.get("texts"), raw.vocabulary),
        batch_size=None if size is None else round(float(size)),
    )


def _truth_and_prediction(targets: Any, outputs: Any) -> tuple[Any, Any]:
    """Return truth and prediction where they are something that is shown beside a sample.

    Of arrays in the shape of pictures those are masks whose truth holds classes; others (an
    autoencoder's, whose truth is the picture itself) are not.
    """
    if targets is None or outputs is None or max(targets.ndim, outputs.ndim) < 3:
        return targets, outputs
    if targets.dtype.kind == "f" and not np.all((targets == 0) | (targets == 1)):
        return None, None
    if targets.ndim == 4 and targets.shape[-1] == 1:
        targets = targets[..., 0]
    return targets, outputs


def _losses(values: Mapping[str, Any], loss: float | None) -> Any:
    """Return each sample's loss, if their mean is the batch's; else another thing was computed."""
    mean = values.get("mean_loss")
    if mean is None or loss is None:
        return None
    close = isclose(float(mean), loss, rel_tol=_LOSS_SLACK, abs_tol=1e-6)
    return values.get("sample_losses") if close else None


def _texts(texts: Any, vocabulary: Sequence[str]) -> list[str] | None:
    if texts is None:
        return None
    if texts.dtype.kind in "OSU":
        return [_decoded(each) for each in texts.reshape(len(texts))]
    if not vocabulary:
        return None
    return [" ".join(_word(int(each), vocabulary) for each in row if int(each)) for row in texts]


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
