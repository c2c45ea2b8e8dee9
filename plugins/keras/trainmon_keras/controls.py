"""What the page's buttons do to a Keras fit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from trainmon.events import ControlCommand, ControlKind, ControlOutcome, ControlSpec, ControlType
from trainmon_keras.rates import adjust
from trainmon_keras.rates import objection as objection_to_rate

if TYPE_CHECKING:
    from trainmon_keras.fit import Fit

__all__ = ["apply_control", "declare_controls", "objection"]


def declare_controls(fit: Fit) -> list[ControlSpec]:
    """Return the knobs a fit offers beside pause and stop, those that cannot be used with why."""
    specs = [
        ControlSpec(
            name="save_checkpoint",
            title="Save a checkpoint",
            description=f"Saves the model now, in {fit.options.checkpoint_folder()}",
            type=ControlType.TRIGGER,
        ),
        ControlSpec(
            name="evaluate",
            title="Evaluate",
            description="Evaluates on the validation set now; the training goes on afterwards.",
            type=ControlType.TRIGGER,
            unavailable_reason=_why_no_evaluation(fit),
        ),
    ]
    base = fit.rates.base()
    if base is not None:
        specs.append(
            ControlSpec(
                name="learning_rate",
                title="Learning rate",
                description="Scales the whole schedule; what is set is its base.",
                minimum=0.0,
                logarithmic=True,
                current_value=base,
            )
        )
    return specs


def objection(fit: Fit, command: ControlCommand) -> str:
    """Return why a command would be refused, which changes nothing; empty where it would not."""
    if command.kind is ControlKind.ADJUST_LEARNING_RATE:
        fit.sync()
        return objection_to_rate(fit.rates, command)
    return _why_no_evaluation(fit) if command.kind is ControlKind.EVALUATE else ""


def apply_control(fit: Fit, command: ControlCommand) -> ControlOutcome | None:
    """Carry out a command between two steps; None: the session's own affair."""
    if command.kind is ControlKind.ADJUST_LEARNING_RATE:
        fit.sync()
        with fit.scope():
            return adjust(fit.rates, command, fit.retrace, fit.rate_in_force)
    if command.kind is ControlKind.SAVE_CHECKPOINT:
        fit.sync()
        return _save(fit)
    if command.kind is ControlKind.EVALUATE:
        reason = _why_no_evaluation(fit)
        if reason:
            return ControlOutcome(applied=False, message=reason)
        fit.sync()
        return _evaluate(fit)
    return None


def _save(fit: Fit) -> ControlOutcome:
    folder = fit.options.checkpoint_folder()
    stem = f"{fit.model.name}-step-{fit.session.global_step}"
    if fit.session.info.rank:  # the ranks of a run have the same weights
        return ControlOutcome(True, f"rank 0 saves {folder / stem}.keras")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        path = _written(fit.model.save, folder, stem, ".keras")
    except Exception as error:  # noqa: BLE001 - a model of the script's own may not be savable whole
        path = _written(fit.model.save_weights, folder, stem, ".weights.h5")
        why = f"{type(error).__name__}: {error}"[:200]
        return ControlOutcome(True, f"saved the weights alone, {path}; not the model, for {why}")
    return ControlOutcome(True, f"saved {path}")


def _written(save: Callable[[Any], object], folder: Path, stem: str, ending: str) -> Path:
    """Write a file so that it is there whole or not at all; return its path."""
    path = folder / f"{stem}{ending}"
    # Processes that are no ranks of one run may share the folder.
    part = folder / f".{stem}.{os.getpid()}.part{ending}"
    try:
        save(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _why_no_evaluation(fit: Fit) -> str:
    if fit.evaluating:
        return "an evaluation is under way"
    if not fit.call.validation:
        return "there is no validation set: give model.fit validation_data=..."
    x = fit.call.validation["x"]
    if hasattr(x, "__next__"):
        return "the validation set is a generator, which can be gone through only once"
    return ""


def _evaluate(fit: Fit) -> ControlOutcome:
    """Evaluate in the midst of an epoch, and put back what that changed."""
    model = fit.model
    kept = [keras.ops.convert_to_numpy(each).copy() for each in model.metrics_variables]
    training = getattr(model, "training", None)  # Torch's own switch
    given = {name: value for name, value in fit.call.validation.items() if value is not None}
    try:
        # With the fit's own callbacks, as at the end of an epoch; ours are among them.
        found = model.evaluate(**given, callbacks=fit.callbacks(), verbose=0, return_dict=True)
    finally:
        with fit.scope():
            for variable, value in zip(model.metrics_variables, kept, strict=False):
                variable.assign(value)
        if training and callable(getattr(model, "train", None)):
            model.train()
    numbers = {f"val_{name}": float(value) for name, value in found.items()}
    fit.add_to_next_step(numbers)
    told = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
    return ControlOutcome(True, told)
