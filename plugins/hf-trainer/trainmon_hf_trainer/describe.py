"""What can be known of a run from its Trainer before the first step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["class_names", "hyperparameters", "length_of_run", "normalization", "token_names"]

_SHOWN_ARGUMENTS = (
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "optim",
    "weight_decay",
    "max_grad_norm",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "num_train_epochs",
    "max_steps",
    "label_smoothing_factor",
    "seed",
    "bf16",
    "fp16",
    "gradient_checkpointing",
    "torch_compile",
)


def hyperparameters(trainer: Any) -> dict[str, str]:
    """Return the arguments people look for, as texts."""
    shown = {"model": type(trainer.model).__name__}
    for name in _SHOWN_ARGUMENTS:
        value = getattr(trainer.args, name, None)
        if value is not None:
            shown[name] = str(getattr(value, "value", value))
    return shown


def length_of_run(trainer: Any, state: Any, dataloader: Any) -> tuple[int | None, int | None]:
    """Return epochs and batches per epoch; None: unknown."""
    updates = int(getattr(trainer.args, "gradient_accumulation_steps", 1) or 1)
    try:
        batches = len(dataloader)
    except TypeError:  # of unknown length: the Trainer counts it as one epoch of max_steps
        return 1, max(1, int(state.max_steps) * updates)
    epochs = math.ceil(state.num_train_epochs)
    return max(1, epochs), max(1, batches)


def class_names(trainer: Any) -> tuple[str, ...]:
    """Return the classes' names: of the model's ``id2label``, else of the dataset's features."""
    config = getattr(trainer.model, "config", None)
    names = _by_index(getattr(config, "id2label", None))
    if names and any(name != f"LABEL_{index}" for index, name in enumerate(names)):
        return names
    features = getattr(getattr(trainer, "train_dataset", None), "features", None)
    if isinstance(features, Mapping):
        for feature in features.values():
            known = getattr(feature, "names", None)
            if isinstance(known, Sequence) and not isinstance(known, str):
                return tuple(str(name) for name in known)
    return ()


def _by_index(id2label: Any) -> tuple[str, ...]:
    if not isinstance(id2label, Mapping) or not id2label:
        return ()
    by_index = {int(index): str(name) for index, name in id2label.items()}
    if max(by_index) >= 100_000 or min(by_index) < 0:
        return ()
    return tuple(by_index.get(index, "") for index in range(max(by_index) + 1))


def normalization(processing_class: Any) -> dict[str, list[float]] | None:
    """Return the mean and deviation that an image processor applied; None: unknown."""
    processor = getattr(processing_class, "image_processor", processing_class)
    mean, deviation = getattr(processor, "image_mean", None), getattr(processor, "image_std", None)
    if not getattr(processor, "do_normalize", False) or not mean or not deviation:
        return None
    if getattr(processor, "do_rescale", True) is False:
        return None  # of pixels from 0 to 255 perhaps: no more than a guess
    return {"mean": [float(each) for each in mean], "std": [float(each) for each in deviation]}


def token_names(processing_class: Any) -> Any | None:
    """Return what decodes tokens: the processing class or its tokenizer; None: there is none."""
    for candidate in (getattr(processing_class, "tokenizer", None), processing_class):
        if callable(getattr(candidate, "decode", None)) and callable(
            getattr(candidate, "convert_ids_to_tokens", None)
        ):
            return candidate
    return None
