"""The loss of one batch, from what a training step returns.

The Trainer sums what its steps return into the loss of an update, so each is scaled: divided by
the number of micro-batches, or, where the loss function was given ``num_items_in_batch``, summed
over this batch and divided by the items of the whole update. Here that is undone, on the device
and without waiting for it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

__all__ = ["BatchLoss", "shifts_labels"]

_IGNORED = -100
_CAUSAL = ("CausalLM", "LMHeadModel")
#: Problem types whose loss is a mean whatever number of items it is told.
_PLAIN_MEANS = ("regression", "multi_label_classification")
#: Names of transformers' loss functions that do divide by ``num_items_in_batch``.
_NORMALISED = (
    "ForCausalLMLoss",
    "ForMaskedLMLoss",
    "ForSequenceClassificationLoss",
    "ForQuestionAnsweringLoss",
    "ForTokenClassification",
    "ForSemanticSegmentationLoss",
)


class BatchLoss:
    """Undoes the scaling of one Trainer's losses.

    Args:
        trainer: Whose.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self.unsure = False
        """Whether the scale of a loss could not be known."""

    def of(self, returned: Any, model_loss: Any, inputs: Mapping[str, Any], items: Any) -> Any:
        """Return the mean loss of the batch.

        Args:
            returned: What ``training_step`` returned, detached.
            model_loss: The loss that the model itself returned; None: none.
            inputs: The batch.
            items: ``num_items_in_batch`` of the update; None: it was not counted.
        """
        trainer = self._trainer
        # Older Trainers divide by what was asked for, also in the last update of an epoch.
        asked = getattr(trainer.args, "gradient_accumulation_steps", 1)
        steps = int(getattr(trainer, "current_gradient_accumulation_steps", None) or asked or 1)
        processes = int(getattr(trainer.args, "world_size", 1) or 1)
        if steps == 1 and processes == 1:
            return returned
        if not self._counts_as_scaled(items):
            return returned * steps
        if not self._normalises(returned, model_loss):
            return returned
        own = self._items_of(inputs)
        if own is None:
            self.unsure = True
            return returned
        averaged = processes > 1 and getattr(trainer.args, "average_tokens_across_devices", False)
        return returned * (items / own) / (processes if averaged else 1)

    def _counts_as_scaled(self, items: Any) -> bool:
        """Return what the Trainer takes the loss for, by its own rule."""
        said = getattr(self._trainer, "loss_is_scaled_for_ga", None)
        if said is not None:
            return bool(said)
        takes_items = getattr(self._trainer, "model_accepts_loss_kwargs", False)
        return (takes_items and items is not None) or (
            getattr(self._trainer, "compute_loss_func", None) is not None
        )

    def _normalises(self, returned: Any, model_loss: Any) -> bool:
        """Return whether the loss was really divided by the items of the update."""
        trainer = self._trainer
        smoother = getattr(trainer, "label_smoother", None)
        if smoother is not None:  # older ones are a mean whatever the Trainer takes them for
            return _is_told_items(smoother.__class__)
        if getattr(trainer, "compute_loss_func", None) is not None:
            return True
        # The step returns the model's own loss as it is: then it is the same memory.
        if model_loss is None or model_loss.data_ptr() != returned.data_ptr():
            self.unsure = True
            return getattr(trainer, "loss_is_scaled_for_ga", None) is True
        model = trainer.model
        if getattr(getattr(model, "config", None), "problem_type", None) in _PLAIN_MEANS:
            return False
        return getattr(_loss_function_of(model), "__name__", "") in _NORMALISED

    def _items_of(self, inputs: Mapping[str, Any]) -> Any | None:
        """Return how many items this batch has, those that its loss is the sum of."""
        labels = inputs.get("shift_labels", inputs.get("labels"))
        if not hasattr(labels, "ne"):
            return None
        if "shift_labels" not in inputs and shifts_labels(self._trainer):
            labels = labels[..., 1:]
        return labels.ne(_IGNORED).sum()


def shifts_labels(trainer: Any) -> bool:
    """Return whether the token at a place is told from the one before, as causal models do."""
    model = trainer.model
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        return False
    # The Trainer's own note misses models whose configuration names no loss.
    return (
        bool(getattr(trainer, "_loss_shifts_labels", False))
        or getattr(_loss_function_of(model), "__name__", "") == "ForCausalLMLoss"
        or type(model).__name__.endswith(_CAUSAL)
    )


@functools.lru_cache(maxsize=8)
def _is_told_items(kind: Any) -> bool:
    return "num_items_in_batch" in inspect.signature(kind.__call__).parameters


def _loss_function_of(model: Any) -> Any:
    try:
        return model.loss_function
    except Exception:  # noqa: BLE001 - a property of a stranger's model: then it is none we know
        return None
