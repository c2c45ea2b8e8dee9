"""The Trainer's callback: by hand, by ``report_to``, or by itself, and never twice."""

# ruff: noqa: ARG002 - the Trainer gives every event the same arguments

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import transformers
from transformers.trainer_callback import TrainerCallback

from trainmon import adapters
from trainmon.adapters import ending_of, harmless, offer_controls, open_run, wanted
from trainmon_hf_trainer import describe, resume
from trainmon_hf_trainer.capture import Choice
from trainmon_hf_trainer.finding import trainer_that_calls
from trainmon_hf_trainer.fit import Fit

if TYPE_CHECKING:
    from trainmon.config import Settings
    from trainmon.session import Session

__all__ = ["AutomaticCallback", "ReportedCallback", "TrainmonCallback"]

_FRAMEWORK = "transformers"


class TrainmonCallback(TrainerCallback):  # type: ignore[misc] # transformers is not typed here
    """Shows a Trainer's training and lets it be steered.

    Args:
        name: Of the run, for people; unset: ``args.run_name``, else the script's.
        class_names: Name of each class; unset: the model's ``id2label``, else the dataset's.
        normalization: ``{"mean": [...], "std": [...]}`` of the pictures; unset: the image
            processor's.
        images: Key of the pictures among the inputs, or a path such as ``"views.left"``; unset:
            ``pixel_values``, else what looks so.
        predictions: Key of the predictions in the model's output; unset: ``logits``.
        truth: Key of the truth among the inputs, or a path; unset: the Trainer's label names, else
            what looks so.
        controls: Knobs of one's own by name: a function that takes the value, a pair
            ``(set, get)``, a path of the model such as ``"head.dropout.p"``, or a mapping of what
            ``Session.add_control`` takes.
        settings: Validated settings; unset: from the environment.
    """

    #: Of several on one Trainer the one with the greatest rank works.
    precedence: ClassVar[int] = 2

    def __init__(
        self,
        name: str = "",
        *,
        class_names: Sequence[str] = (),
        normalization: Mapping[str, Sequence[float]] | None = None,
        images: str = "",
        predictions: str = "",
        truth: str = "",
        controls: Mapping[str, Any] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._name = name
        self._class_names = class_names
        self._normalization = normalization
        self._choice = Choice(images=images, predictions=predictions, truth=truth)
        self._settings = settings
        self._controls = dict(controls or {})
        self._fit: Fit | None = None

    @property
    def session(self) -> Session | None:
        """The session of the training under way; None between trainings."""
        return None if self._fit is None else self._fit.session

    def add_control(
        self,
        /,
        name: str,
        set: Callable[[Any], object],  # noqa: A002 - reads as what it is: get and set
        get: Callable[[], Any] | None = None,
        **spec: Any,
    ) -> TrainmonCallback:
        """Offer a knob, as :meth:`trainmon.Session.add_control` does; returns the callback."""
        self._controls[name] = {"set": set, "get": get, **spec}
        if self._fit is not None:
            self._fit.session.add_control(name, set, get, **spec)
        return self

    # What the Trainer calls.

    @harmless
    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Open the session, unless another callback of ours does."""
        self._end("COMPLETED")  # of a training that was left in a way nobody told us
        trainer, resumes_from = trainer_that_calls(self)
        if trainer is None or not self._is_to_work(trainer):
            return
        self._begin(trainer, state, given.get("train_dataloader"), resumes_from)

    @harmless
    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A micro-batch ended."""
        if self._fit is not None:
            self._fit.batch_ended(state, control)

    @harmless
    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The last micro-batch of an update ended."""
        if self._fit is not None:
            self._fit.batch_ended(state, control)

    @harmless
    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A batch of an evaluation ended."""
        if self._fit is not None:
            self._fit.evaluation_step(control)

    @harmless
    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any
    ) -> None:
        """An evaluation ended."""
        if self._fit is not None:
            self._fit.evaluated(metrics or {}, control)

    @harmless
    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """The Trainer logged something."""
        if self._fit is not None:
            self._fit.logged(logs or {})

    @harmless
    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A checkpoint was written."""
        if self._fit is not None and state.is_world_process_zero:
            resume.note_attempt(args, state, self._fit.session.attempt)

    @harmless
    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The epoch before is over, and its evaluation."""
        if self._fit is not None:
            self._fit.epoch_begins()

    @harmless
    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """An epoch ended; its evaluation may follow."""
        if self._fit is not None:
            self._fit.epoch_ended()

    @harmless
    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The training ended as it should."""
        self._end("COMPLETED")

    # Inside.

    def _wants_to(self) -> bool:
        return True

    def _is_to_work(self, trainer: Any) -> bool:
        """Return whether this is the first of the greatest rank among the Trainer's callbacks."""
        ours = [
            each
            for each in trainer.callback_handler.callbacks
            if isinstance(each, TrainmonCallback) and each._wants_to()  # noqa: SLF001 - of this class
        ]
        return bool(ours) and max(ours, key=lambda each: each.precedence) is self

    def _begin(self, trainer: Any, state: Any, dataloader: Any, resumes_from: Any) -> None:
        epochs, batches = describe.length_of_run(trainer, state, dataloader)
        args = trainer.args
        processor = getattr(trainer, "processing_class", None)
        session = open_run(
            trainer.model,
            adapter="hf_trainer",
            name=self._name or _run_name(args),
            framework=_FRAMEWORK,
            framework_version=str(transformers.__version__),
            class_names=tuple(self._class_names) or describe.class_names(trainer),
            total_epochs=epochs,
            batches_per_epoch=batches,
            hyperparameters=describe.hyperparameters(trainer),
            normalization=self._normalization or describe.normalization(processor),
            rank=int(getattr(args, "process_index", 0)),
            world_size=int(getattr(args, "world_size", 1)),
            settings=self._settings,
        )
        if session is None:
            return
        if state.global_step:
            place = resume.place_of(trainer, state, batches)
            attempt = resume.resumed_attempt(args, state, resumes_from)
            session.resume_at(*place, attempt=attempt)
        try:
            self._fit = Fit(session, trainer, state, self._choice, self._left)
        finally:
            if self._fit is None:
                session.close()  # nobody would feed it
        offer_controls(session, self._controls, trainer.model)
        if session.info.world_size > 1:
            _join_ranks(session)

    def _end(self, status: str, message: str = "") -> None:
        fit, self._fit = self._fit, None
        if fit is not None:
            fit.end(status, message)

    @harmless
    def _left(self, error: BaseException) -> None:
        """The training was left by this exception."""
        self._end(*ending_of(error))


class ReportedCallback(TrainmonCallback):
    """What ``report_to="trainmon"`` makes; gives way to a callback by hand."""

    precedence: ClassVar[int] = 1


class AutomaticCallback(TrainmonCallback):
    """What automatic attachment gives every Trainer; gives way to any other of ours."""

    precedence: ClassVar[int] = 0

    def _wants_to(self) -> bool:
        return wanted()


def _run_name(args: Any) -> str:
    """Return the name the user gave; transformers itself uses the folder where there is none."""
    name = getattr(args, "run_name", None)
    return str(name) if name and name != args.output_dir else ""


def _join_ranks(session: Session) -> None:
    join = getattr(adapters, "join_ranks", None)
    if join is not None:
        join(session)
