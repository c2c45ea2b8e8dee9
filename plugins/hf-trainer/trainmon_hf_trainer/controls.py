"""What can be changed of a Trainer while it trains.

Only what the Trainer reads again at every step is offered: ``state.logging_steps`` and its like,
and ``args.max_grad_norm``. A checkpoint and an evaluation are asked for as its own callbacks do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainmon.adapters import LearningRates

if TYPE_CHECKING:
    from trainmon.session import Session

__all__ = ["Wishes", "learning_rates", "offer_controls"]

_INTERVALS = (
    ("logging", "logging_strategy", "Log every"),
    ("eval", "eval_strategy", "Evaluate every"),
    ("save", "save_strategy", "Save every"),
)


class Wishes:
    """What was asked for and waits for the end of the step.

    Attributes:
        save: A checkpoint.
        evaluate: An evaluation.
    """

    def __init__(self) -> None:
        self.save = False
        self.evaluate = False

    def grant(self, control: Any) -> None:
        """Have the Trainer do what was asked for."""
        if self.save:
            self.save, control.should_save = False, True
        if self.evaluate:
            self.evaluate, control.should_evaluate = False, True


def learning_rates(trainer: Any) -> LearningRates:
    """Return the learning rates of a training, without accelerate's wrappers."""
    schedulers = _unwrapped(trainer.lr_scheduler, "scheduler")
    # The schedule of a Trainer drives the wrapped optimizer; they share the parameter groups.
    driven = getattr(schedulers, "optimizer", None)
    optimizer = driven if driven is not None else _unwrapped(trainer.optimizer, "optimizer")
    return LearningRates(
        () if optimizer is None else (optimizer,), () if schedulers is None else (schedulers,)
    )


def _unwrapped(wrapper: Any, inner: str) -> Any:
    while type(wrapper).__module__.startswith("accelerate.") and hasattr(wrapper, inner):
        wrapper = getattr(wrapper, inner)
    return wrapper


def offer_controls(session: Session, trainer: Any, state: Any, wishes: Wishes) -> None:
    """Offer the knobs of one training."""

    def save(_: float) -> None:
        wishes.save = True

    def evaluate(_: float) -> None:
        wishes.evaluate = True

    session.add_control(
        "save_checkpoint", save, description="Writes a checkpoint at the end of this step."
    )
    session.add_control(
        "evaluate",
        evaluate,
        description="Evaluates at the end of this step; counts like any other evaluation.",
        unavailable_reason=_why_no_evaluation(trainer),
    )
    _offer_intervals(session, trainer.args, state)
    _offer_clipping(session, trainer)


def _why_no_evaluation(trainer: Any) -> str:
    """Return why there can be none; an evaluation without a set would end the training."""
    import transformers

    own = type(trainer).get_eval_dataloader is not transformers.Trainer.get_eval_dataloader
    if own or getattr(trainer, "eval_dataset", None) is not None:
        return ""
    return "this Trainer has no evaluation set: give it one, Trainer(..., eval_dataset=...)"


def _offer_intervals(session: Session, args: Any, state: Any) -> None:
    for kind, strategy, title in _INTERVALS:
        chosen = getattr(args, strategy, None)
        if getattr(chosen, "value", chosen) != "steps":
            continue
        name = f"{kind}_steps"

        def change(value: float, name: str = name) -> None:
            setattr(state, name, int(value))

        def now(name: str = name) -> float:
            return float(getattr(state, name))

        session.add_control(
            name, change, now, type="INTEGER", minimum=1, title=title, unit="updates"
        )


def _offer_clipping(session: Session, trainer: Any) -> None:
    args = trainer.args
    if getattr(trainer, "is_deepspeed_enabled", False) or args.max_grad_norm is None:
        return  # DeepSpeed clips by its own configuration, read once

    def change(value: float) -> None:
        args.max_grad_norm = value

    session.add_control(
        "max_grad_norm",
        change,
        lambda: args.max_grad_norm,
        minimum=0.0,
        title="Gradient clipping",
        description="Greatest norm of the gradients; 0: they are not clipped.",
    )
