"""One training under way: what the Trainer does, told to a session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trainmon.adapters import say
from trainmon.errors import StopTraining
from trainmon.events import EpochEvent
from trainmon_hf_trainer.capture import Captured, Choice, Sampler
from trainmon_hf_trainer.controls import Wishes, learning_rates, offer_controls
from trainmon_hf_trainer.loss import BatchLoss
from trainmon_hf_trainer.tap import Listener, Tap

if TYPE_CHECKING:
    from trainmon.session import Session

__all__ = ["Fit"]

#: Of what the Trainer logs: told already, every batch or every epoch.
_KNOWN_ELSEWHERE = frozenset({"loss", "learning_rate", "epoch", "step", "total_flos"})
_UNSURE_OF_LOSS = (
    "with gradient accumulation the scale of this Trainer's own loss is not known; it is shown as "
    "the step returns it. Say loss_is_scaled_for_ga = False (a mean per batch) or True in its class"
)


class Fit(Listener):
    """Tells a session of one ``train``.

    Args:
        session: Open, and closed by :meth:`end`.
        trainer: Who trains.
        state: The Trainer's state.
        choice: What the user said of the batches.
        left: Told of the exception that ends the training, if one does.
    """

    def __init__(
        self,
        session: Session,
        trainer: Any,
        state: Any,
        choice: Choice,
        left: Callable[[BaseException], object],
    ) -> None:
        self.session = session
        self.trainer = trainer
        self._left = left
        self._sampler = Sampler(trainer, choice, lambda text: say(session, text))
        self._losses = BatchLoss(trainer)
        self._rates = learning_rates(trainer)
        self._wishes = Wishes()
        self._tap = Tap(trainer, self)
        self._evaluation = ExitStack()
        self._evaluating = False
        self._pending: dict[str, float] = {}
        self._epoch: EpochEvent | None = None
        self._validation: dict[str, float] = {}
        self._forget_step()
        self.stopped: StopTraining | None = None
        offer_controls(session, trainer, state, self._wishes)
        self._tap.install()

    def _forget_step(self) -> None:
        self._captured: Captured | None = None
        self._inputs: Mapping[str, Any] = {}
        self._model_loss: Any = None
        self._loss: Any = None
        self._rate: float | None = None

    # Steps, as the tap hears them.

    def step_begins(self, inputs: Any) -> None:
        """Ask whether a picture is due, before the step takes its inputs apart."""
        self._leave_evaluation()
        self._forget_step()
        self._inputs = dict(inputs) if isinstance(inputs, Mapping) else {}
        self._rate = self._rates.effective()
        request = self.session.begin_step()
        if request is not None and self._inputs:
            self._captured = self._sampler.begin(self._inputs, request)

    def forwarded(self, given: Mapping[str, Any], output: Any) -> None:
        """Keep what the picture needs of the output."""
        loss: Any = output.get("loss") if isinstance(output, Mapping) else None
        self._model_loss = loss.detach() if hasattr(loss, "detach") else None
        if self._captured is not None:
            self._sampler.forwarded(self._captured, given, output)

    def step_returned(self, loss: Any, items: Any) -> None:
        """Take the loss of the batch."""
        self._loss = self._losses.of(loss, self._model_loss, self._inputs, items)
        if self._losses.unsure:
            say(self.session, _UNSURE_OF_LOSS)

    def left(self, error: BaseException) -> None:
        """Say that the training is being left."""
        self._left(error)

    def failed(self, where: str, error: Exception) -> None:
        """Count what went wrong in here, and show it on the page."""
        self.session.failed(where, error)

    # Steps, as the Trainer tells its callbacks.

    def batch_ended(self, state: Any, control: Any) -> None:
        """Tell of a batch, and take commands."""
        metrics, self._pending = self._pending, {}
        if self._rate is not None:
            metrics["learning_rate"] = self._rate
        captured, loss = self._captured, self._loss
        self._forget_step()
        self.session.step_ended(
            captured, loss=loss, metrics=metrics, optimizer_step=int(state.global_step)
        )
        self.control_point(control)

    def control_point(self, control: Any) -> None:
        """Take commands; a stop ends the training as the Trainer ends it."""
        try:
            self.session.visit_control_point(self._rates)
        except StopTraining as stop:
            self.stopped = stop
        if self.stopped is not None:
            control.should_training_stop = True
        if not self._evaluating:
            self._wishes.grant(control)

    # Evaluation, logs and epochs.

    def evaluation_step(self, control: Any) -> None:
        """Show the run as evaluating, and take commands between its batches."""
        if not self._evaluating:
            self._evaluating = True
            self._evaluation.enter_context(self.session.evaluating())
        self.control_point(control)

    def evaluated(self, metrics: Mapping[str, Any], control: Any) -> None:
        """Keep what an evaluation found for the epoch, and for the next batch."""
        self._leave_evaluation()
        numbers = _news(metrics)
        self._pending.update(numbers)
        self._validation = {**self._validation, **numbers}
        # A checkpoint asked for meanwhile is written right after; an evaluation was just made.
        self._wishes.evaluate = False
        self._wishes.grant(control)

    def _leave_evaluation(self) -> None:
        if self._evaluating:
            self._evaluating = False
            self._evaluation.close()

    def logged(self, logs: Mapping[str, Any]) -> None:
        """Keep what was logged for the next batch."""
        self._pending.update(_news(logs))

    def epoch_begins(self) -> None:
        """Tell of the epoch before: its evaluation is over."""
        self._tell_epoch()

    def epoch_ended(self) -> None:
        """Keep the epoch until its evaluation, which comes after, is over."""
        self._tell_epoch()
        self._epoch = EpochEvent(learning_rate=self._rates.effective())

    def _tell_epoch(self) -> None:
        epoch, self._epoch = self._epoch, None
        if epoch is None:
            return
        found, self._validation = self._validation, {}
        self.session.epoch_ended(
            replace(
                epoch,
                validation_loss=_ending(found, "loss"),
                validation_accuracy=_ending(found, "accuracy"),
                metrics=found,
            )
        )

    # The end.

    def end(self, status: str, message: str = "") -> None:
        """Take everything off the Trainer and close the session; a second time does nothing."""
        self._tap.remove()
        self._leave_evaluation()
        self._forget_step()
        if self.session.closed:
            return
        self._tell_epoch()
        if self.stopped is not None and status == "COMPLETED":
            status, message = "STOPPED", str(self.stopped)
        self.session.close(status, message)


def _news(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers that are not told otherwise."""
    return {
        str(name): float(value)
        for name, value in values.items()
        if isinstance(value, (int, float, np.number))
        and not isinstance(value, bool)
        and name not in _KNOWN_ELSEWHERE
    }


def _ending(metrics: Mapping[str, float], name: str) -> float | None:
    """Return ``eval_NAME``; of several evaluation sets the first's, ``eval_SET_NAME``."""
    if f"eval_{name}" in metrics:
        return metrics[f"eval_{name}"]
    return next((value for key, value in metrics.items() if key.endswith(f"_{name}")), None)
