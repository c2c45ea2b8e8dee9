"""One fit under way: what Lightning does, told to a session."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from trainmon.adapters import say
from trainmon.errors import StopTraining
from trainmon_lightning.capture import StepCapture
from trainmon_lightning.controls import FitContext, offer_knobs
from trainmon_lightning.describe import early_stop
from trainmon_lightning.scalars import Logged

if TYPE_CHECKING:
    from trainmon.session import Session

__all__ = ["Fit"]

_OVERRIDE = "TrainmonCallback(images=…, texts=…, outputs=…, targets=…) says otherwise"
_SEVERAL = (
    "a step runs backward more than once: the loss shown is the first's, the others are the "
    "metrics loss_2, loss_3, …"
)
_SCALED = "the loss is not shown: it is scaled for float16, and training_step does not return it"
_MOST_LOSSES = 8


class Fit:
    """Tells a session of one fit.

    Args:
        session: Open, and closed by :meth:`end`.
        trainer: Who trains.
        capture: Installed on the module, and removed by its owner.
        controls: The user's knobs, as :func:`trainmon_lightning.controls.offer_knobs` has them.
    """

    def __init__(
        self, session: Session, trainer: Any, capture: StepCapture, controls: Mapping[str, Any]
    ) -> None:
        self.session = session
        self.stopped: StopTraining | None = None
        self._trainer = trainer
        self._automatic = bool(trainer.lightning_module.automatic_optimization)
        self._capture = capture
        self._context = FitContext(trainer)
        self._logged = Logged()
        self._rates: dict[str, float] = {}
        self._losses: list[Any] = []
        self._evaluation = ExitStack()
        self._chosen = False
        offer_knobs(session, trainer, controls)

    # Steps.

    def batch_begins(self, batch: Any) -> None:
        """Ask whether a picture is due, before the step takes the batch apart."""
        self._context.evaluation_begins()  # one that was asked for, and could not be
        self._losses.clear()
        self._rates = self._context.rates_in_force()
        self._capture.begin(batch, wanted=self.session.begin_step() is not None)

    def before_backward(self, loss: Any) -> None:
        """Keep the loss, and what the picture needs; the rest is let go of."""
        if not self._automatic and len(self._losses) < _MOST_LOSSES:
            self._losses.append(loss.detach())
        self._capture.before_backward(several=not self._automatic)

    def batch_ended(self, outputs: Any, batch: Any) -> None:
        """Tell of a batch, and take commands."""
        metrics = {**self._logged.news(self._trainer.callback_metrics), **self._rates}
        for number, loss in enumerate(self._losses[1:], 2):
            metrics[f"loss_{number}"] = loss
            say(self.session, _SEVERAL)
        try:
            self.session.step_ended(
                partial(self._capture.finish, outputs, batch),
                loss=self._loss(outputs),
                metrics=metrics,
                optimizer_step=int(self._trainer.global_step),
            )
        finally:
            self._capture.forget()
            self._losses.clear()
        if self._capture.chosen and not self._chosen:
            self._chosen = True
            say(self.session, f"{self._capture.chosen} ({_OVERRIDE})")
        self.control_point()

    def _loss(self, outputs: Any) -> Any:
        """Return the loss of the batch as ``training_step`` computed it, on whatever device."""
        told = outputs.get("loss") if isinstance(outputs, Mapping) else None
        if self._automatic:
            # Lightning divides it by the batches whose gradients it adds up.
            parts = int(self._trainer.accumulate_grad_batches)
            return told if told is None or parts == 1 else told * parts
        if told is not None or not self._losses:
            return told
        if getattr(self._trainer.precision_plugin, "scaler", None) is not None:
            say(self.session, _SCALED)
            return None
        return self._losses[0]

    def control_point(self) -> None:
        """Take commands; a stop ends the fit as Lightning ends it."""
        try:
            self.session.visit_control_point(self._context)
        except StopTraining as stop:
            if self.stopped is None:
                self.stopped = stop
                self._tell_what_is_waited_for()
            self._trainer.should_stop = True

    def _tell_what_is_waited_for(self) -> None:
        trainer = self._trainer
        epochs, steps = trainer.min_epochs or 0, trainer.min_steps or 0
        if trainer.current_epoch < epochs or trainer.global_step < steps:
            least = f"{epochs} epochs" if trainer.current_epoch < epochs else f"{steps} steps"
            self.session.status("STOPPING", f"Lightning stops after its minimum of {least}")

    # Validation and epochs.

    def validation_begins(self) -> None:
        """Show the run as evaluating."""
        self._context.evaluation_begins()
        self._evaluation.enter_context(self.session.evaluating())

    def validation_batch_ended(self) -> None:
        """Let go of what modules returned, and take commands."""
        self._capture.drop()
        self.control_point()

    def validation_ended(self) -> None:
        """Show the run as training again."""
        self._logged.validated = True
        self._evaluation.close()
        self._context.evaluation_ended()

    def epoch_ended(self) -> None:
        """Tell of an epoch; its validation, if it has one, came before."""
        rates = self._context.rates_in_force()
        event = self._logged.epoch(self._trainer.callback_metrics, rates.get("learning_rate"))
        self.session.epoch_ended(event)

    # The end.

    def end(self, status: str, message: str = "") -> None:
        """Close the session; a second time does nothing."""
        self._context.evaluation_begins()
        self._evaluation.close()
        if status == "COMPLETED" and self.stopped is not None:
            status, message = "STOPPED", str(self.stopped)
        elif status == "COMPLETED":
            message = message or early_stop(self._trainer)
        self.session.close(status, message)
