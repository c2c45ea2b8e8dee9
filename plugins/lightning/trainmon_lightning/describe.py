"""What can be known of a run from its Trainer before the first step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = [
    "batches_done",
    "class_names",
    "early_stop",
    "epochs_of_run",
    "hyperparameters",
    "known_batches",
]

_SHOWN = ("max_epochs", "max_steps", "accumulate_grad_batches", "gradient_clip_val", "precision")
_MOST_NAMES = 100_000
#: Of one hyperparameter.
_MOST_CHARACTERS = 500


def epochs_of_run(trainer: Any) -> int | None:
    """Return the epoch at which the fit ends, counted from the first fit's; None: unknown."""
    epochs = trainer.max_epochs
    return int(epochs) if epochs is not None and epochs > 0 else None


def known_batches(trainer: Any) -> int | None:
    """Return batches per epoch; None: the loader's length is unknown."""
    batches = trainer.num_training_batches
    return int(batches) if math.isfinite(batches) and batches > 0 else None


def batches_done(trainer: Any) -> int:
    """Return how many batches a fit that goes on from a checkpoint has behind it."""
    loop = trainer.fit_loop.epoch_loop
    progress = loop.batch_progress
    done = int(progress.total.processed)
    if not hasattr(loop, "restarted_on_train_batch_end"):
        # Older ones train the batch once more in whose end the checkpoint was written.
        done -= int(progress.current.processed) - int(progress.current.completed)
    return done


def class_names(trainer: Any) -> tuple[str, ...]:
    """Return the classes' names as data module, dataset or module have them; empty: unknown."""
    for holder in (trainer.datamodule, *_datasets(trainer.train_dataloader, 0)):
        for name in ("class_names", "classes"):
            names = _names(getattr(holder, name, None))
            if names:
                return names
    return _names(getattr(trainer.lightning_module, "class_names", None))


def hyperparameters(trainer: Any) -> dict[str, str]:
    """Return the module's hyperparameters and the Trainer's settings people look for, as texts."""
    module = trainer.lightning_module
    shown = {"model": type(module).__name__}
    for number, optimizer in enumerate(trainer.optimizers):
        name = "optimizer" if number == 0 else f"optimizer_{number}"
        shown[name] = type(optimizer).__name__
    for name in _SHOWN:
        value = getattr(trainer, name, None)
        if value is not None:
            shown[name] = str(value)
    given = getattr(module, "hparams", None)
    if isinstance(given, Mapping):
        shown.update((str(name), _text(value)) for name, value in given.items())
    return shown


def _text(value: Any) -> str:
    """Return a value for people; a whole net, as templates hold it, by its class."""
    text = str(value)
    return text if len(text) <= _MOST_CHARACTERS else type(value).__name__


def early_stop(trainer: Any) -> str:
    """Return who stopped a fit before its time; empty: nobody did."""
    if not trainer.should_stop:
        return ""
    for callback in trainer.callbacks:
        epoch = getattr(callback, "stopped_epoch", 0)
        if epoch:
            watched = getattr(callback, "monitor", "")
            return f"stopped early in epoch {epoch} by {type(callback).__name__} of {watched!r}"
    return "stopped early: trainer.should_stop was set"


def _datasets(loader: Any, depth: int) -> Iterator[Any]:
    """Return the datasets of a loader or of several, and those that they are made of."""
    if depth > 4 or loader is None:
        return
    if isinstance(loader, Mapping):
        loader = list(loader.values())
    if isinstance(loader, (list, tuple)):
        for each in loader[:8]:
            yield from _datasets(each, depth + 1)
        return
    several = getattr(loader, "datasets", None)  # as of a ConcatDataset
    inner = list(several)[:8] if isinstance(several, (list, tuple)) else []
    for dataset in (getattr(loader, "dataset", None), *inner):
        if dataset is not None:
            yield dataset
            yield from _datasets(dataset, depth + 1)


def _names(names: Any) -> tuple[str, ...]:
    if not isinstance(names, (list, tuple)) or len(names) > _MOST_NAMES:
        return ()
    return tuple(str(each) for each in names)
