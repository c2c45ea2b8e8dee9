"""What the page can ask of a Trainer, between two batches, on the training's thread."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainmon.adapters import (
    LearningRates,
    learning_rate_control,
    learning_rate_objection,
    offer_controls,
)
from trainmon.events import (
    ControlCommand,
    ControlKind,
    ControlOutcome,
    ControlSpec,
    ControlType,
)

if TYPE_CHECKING:
    from trainmon.session import Session

__all__ = ["FitContext", "declared_controls", "offer_knobs"]


class FitContext:
    """One fit, as its control points know it.

    Args:
        trainer: Whose optimizers, schedulers and loops are asked each time, for they may change.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._interval: tuple[Any, Any] | None = None
        self._path = ""

    def rates(self) -> LearningRates:
        """Return the learning rates of every optimizer and whatever drives them."""
        trainer = self._trainer
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        # Of manual optimisation: one that the module keeps and steps without telling Lightning.
        optimizers = list(trainer.optimizers)
        for value in vars(trainer.lightning_module).values():
            driven = getattr(value, "optimizer", None)
            if hasattr(value, "base_lrs") and any(driven is each for each in optimizers):
                schedulers.append(value)
        return LearningRates(optimizers, schedulers)

    def rates_in_force(self) -> dict[str, float]:
        """Return the learning rate of each optimizer, as metrics."""
        rates, found = LearningRates(self._trainer.optimizers, ()), {}
        for index in range(len(rates.optimizers)):
            rate = rates.effective(index)
            if rate is not None:
                found["learning_rate" if index == 0 else f"learning_rate_{index}"] = rate
        return found

    @property
    def evaluation_refusal(self) -> str:
        """Why no evaluation can be run; empty where one can."""
        if getattr(self._trainer, "_val_check_time_interval", None) is not None:
            return "this fit validates by the clock: val_check_interval is a time"
        if self._trainer.enable_validation:
            return ""
        return "there is nothing to evaluate with: no validation_step, or no validation data"

    def objection(self, command: ControlCommand) -> str:
        """Return why a command would be refused, which changes nothing; empty: it would not."""
        if command.kind is ControlKind.ADJUST_LEARNING_RATE:
            return learning_rate_objection(self.rates(), command)
        return self.evaluation_refusal if command.kind is ControlKind.EVALUATE else ""

    def evaluate(self) -> ControlOutcome:
        """Let Lightning validate after this batch, by its own rule for when to."""
        trainer = self._trainer
        if self.evaluation_refusal:
            return ControlOutcome(False, self.evaluation_refusal)
        if not trainer.training:
            return ControlOutcome(True, "a validation is under way")
        if self._interval is None:
            # Lightning looks at these two right after this batch, and validates as it always does:
            # metrics, callbacks, checkpoints and the place in the loop are its own affair.
            self._interval = (trainer.val_check_batch, trainer.check_val_every_n_epoch)
            trainer.val_check_batch, trainer.check_val_every_n_epoch = 1, None
        return ControlOutcome(True, "the validation runs now, after this batch")

    def evaluation_begins(self) -> None:
        """Give Lightning its own intervals back."""
        if self._interval is not None:
            self._trainer.val_check_batch, self._trainer.check_val_every_n_epoch = self._interval
            self._interval = None

    def save_checkpoint(self, step: int) -> ControlOutcome:
        """Save a checkpoint that the fit can be resumed from."""
        folder = os.path.join(str(self._trainer.default_root_dir), "checkpoints")  # noqa: PTH118 - may be a URL
        path = f"{folder}/trainmon-step={step}.ckpt"
        if not self._trainer.training:
            self._path = path
            return ControlOutcome(True, f"saves {path} when the validation under way has ended")
        self._trainer.save_checkpoint(path)
        return ControlOutcome(True, f"saved {path}")

    def evaluation_ended(self) -> None:
        """Save the checkpoint that was asked for meanwhile."""
        path, self._path = self._path, ""
        if path:
            self._trainer.save_checkpoint(path)


def declared_controls(fit: FitContext) -> list[ControlSpec]:
    """Return the controls that the adapter itself carries out."""
    rate = learning_rate_control(fit.rates())
    save = ControlSpec(
        name="save_checkpoint",
        title="Save a checkpoint",
        description="Saves what the fit can be resumed from, after the batch under way.",
        type=ControlType.TRIGGER,
    )
    evaluate = ControlSpec(
        name="evaluate",
        title="Evaluate now",
        description="Runs the validation after the batch under way.",
        type=ControlType.TRIGGER,
        unavailable_reason=fit.evaluation_refusal,
    )
    return [*([rate] if rate else []), save, evaluate]


def offer_knobs(session: Session, trainer: Any, controls: Mapping[str, Any]) -> None:
    """Offer Lightning's knobs, and the user's.

    Args:
        session: The run.
        trainer: Lightning's.
        controls: The user's, as :func:`trainmon.adapters.offer_controls` has them.
    """
    if trainer.lightning_module.automatic_optimization:  # by hand nothing reads these
        _offer_clipping(session, trainer)
        if not trainer.strategy.handles_gradient_accumulation:
            _offer_accumulation(session, trainer)
    offer_controls(session, controls, trainer.lightning_module)


def _offer_clipping(session: Session, trainer: Any) -> None:
    def clip(value: float) -> None:
        trainer.gradient_clip_val = value or None

    session.add_control(
        "gradient_clip_val",
        clip,
        lambda: float(trainer.gradient_clip_val or 0.0),
        title="Gradient clipping",
        description="Norm (or value) the gradients are clipped to; 0 clips nothing.",
        minimum=0.0,
    )


def _offer_accumulation(session: Session, trainer: Any) -> None:
    def accumulate(value: float) -> None:
        trainer.accumulate_grad_batches = int(value)

    session.add_control(
        "accumulate_grad_batches",
        accumulate,
        lambda: float(trainer.accumulate_grad_batches),
        title="Gradient accumulation",
        description="Batches whose gradients are added up before the optimizer steps.",
        type=ControlType.INTEGER,
        minimum=1,
        unit="batches",
    )
