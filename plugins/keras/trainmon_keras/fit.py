"""One fit of one model, from its beginning to its end, as the session is told of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from math import prod
from typing import Any

import keras

from trainmon.adapters import ending_of, offer_controls, open_run, say
from trainmon.errors import StopTraining
from trainmon.session import Session
from trainmon_keras.backends import Backend, backend_named
from trainmon_keras.backups import Backups, steps_made
from trainmon_keras.call import FitCall, same_call
from trainmon_keras.extras import Choice
from trainmon_keras.options import Options
from trainmon_keras.rates import KerasRates, optimizers_of
from trainmon_keras.samples import EpochLogs, StepExtras
from trainmon_keras.step import StepTap
from trainmon_keras.texts import vocabulary_of

__all__ = ["Fit", "end_forgotten", "fit_of", "open_fit"]

_FIT = "_trainmon_fit"

#: A dataset is looked for class names through no more others that it was made of.
_MOST_DATASETS = 32
_END_OF_DATA = ("OutOfRangeError",)
_NUMBERS = re.compile("float|int|bool")


def open_fit(model: Any, call: FitCall, options: Options, params: Mapping[str, Any]) -> Fit | None:
    """Start showing a fit; None: it is shown already, or cannot be."""
    backend = backend_named(keras.backend.backend())
    if backend is None:
        return None
    session = open_run(
        model,
        adapter="keras",
        name=options.name,
        framework="keras",
        framework_version=f"{keras.__version__} ({keras.backend.backend()})",
        class_names=options.class_names or _class_names(call.x),
        total_epochs=params.get("epochs"),
        batches_per_epoch=params.get("steps"),
        hyperparameters=_hyperparameters(model, call),
        normalization=options.normalization,
        settings=options.settings,
    )
    return None if session is None else Fit(model, session, backend, call, options, params)


def fit_of(model: Any) -> Fit | None:
    """Return the fit of a model that is shown now; None: there is none."""
    fit: Fit | None = vars(model).get(_FIT)
    return fit


def end_forgotten(model: Any, call: FitCall) -> None:
    """End the fit of this model that ended without telling its callbacks, as by an exception."""
    before = fit_of(model)
    if before is not None and not same_call(before.call, call):
        before.failed(RuntimeError("the fit ended without telling its callbacks"))


def _class_names(x: Any) -> tuple[str, ...]:
    """Return the names that a dataset of image folders knows, or one that it was made of.

    Keras' own is no more itself after ``map`` or ``prefetch``; a DataLoader holds its dataset.
    """
    waiting, seen = [x], 0
    while waiting and seen < _MOST_DATASETS:
        data, seen = waiting.pop(0), seen + 1
        for name in ("class_names", "classes"):
            names = getattr(data, name, None)
            if isinstance(names, (list, tuple)) and names:
                return tuple(map(str, names))
        inputs = getattr(data, "_inputs", None)
        with suppress(Exception):  # of a stranger's dataset: then there are none
            waiting += inputs() if callable(inputs) else [data.dataset]
    return ()


def _hyperparameters(model: Any, call: FitCall) -> dict[str, Any]:
    found: dict[str, Any] = {"model": model.name, "backend": keras.backend.backend()}
    for number, optimizer in enumerate(optimizers_of(model)):
        found["optimizer" if not number else f"optimizer {number}"] = type(optimizer).__name__
    loss = getattr(model, "loss", None)
    if loss is not None:
        found["loss"] = (
            loss if isinstance(loss, str) else getattr(loss, "name", type(loss).__name__)
        )
    if call.batch_size is not None:
        found["batch_size"] = call.batch_size
    found["precision"] = keras.config.dtype_policy().name
    if model.built:
        found["parameters"] = model.count_params()
    return found


class Fit:
    """A fit under way.

    Args:
        model: The Keras model.
        session: Where it is shown.
        backend: Keras' backend.
        call: What ``fit`` was called with.
        options: What the user said.
        params: What Keras told the callback: ``epochs``, ``steps``.
    """

    def __init__(
        self,
        model: Any,
        session: Session,
        backend: Backend,
        call: FitCall,
        options: Options,
        params: Mapping[str, Any],
    ) -> None:
        self.model = model
        self.session = session
        self.call = call
        self.options = options
        self.rates = KerasRates(model, call.callbacks)
        self._backups = Backups(session, model, call.callbacks, self.rates, self.retrace)
        self._begun = False
        self._backend = backend
        self._steps_per_epoch: int | None = params.get("steps")
        self._each: int = model.steps_per_execution
        choice = Choice(options.images, options.targets, options.outputs, options.box_format)
        self._tap = StepTap.of(model, backend, choice)
        self._vocabulary = options.vocabulary or vocabulary_of(model)
        self._state: Any = None
        self._rate: Any = None
        self._evaluation = ExitStack()
        self._next_metrics: dict[str, float] = {}
        self._done = 0
        self._said_of_words = False
        self._numbers: dict[tuple[str, type], bool] = {}
        self.evaluating = False

    # Beginning and end.

    def begin(self) -> None:
        """Tap the step, and offer the controls."""
        self._tap.say = lambda text: say(self.session, text)
        self._tap.wanted = lambda: self.session.begin_step() is not None
        object.__setattr__(self.model, _FIT, self)
        self._tap.hang(self._step_ended, self.failed)
        self._backups.hang()
        if self._each > 1:
            say(
                self.session,
                f"steps_per_execution is {self._each}: Keras shows one step in {self._each}, and "
                "commands take effect between two executions",
            )
        self.offer(self.options.controls)
        self.visit()

    def end(self) -> None:
        """Close the session as the fit ended."""
        stop = self._stop
        status, message = ending_of(stop)
        self._close(status, message)

    def failed(self, error: BaseException) -> None:
        """Note that a step raised: the fit ends here, for Keras tells no callback of it."""
        if isinstance(error, StopIteration) or type(error).__name__ in _END_OF_DATA:
            return
        self._close(*ending_of(error))

    def _close(self, status: str, message: str) -> None:
        self._evaluation.close()
        try:
            self._tap.take_off()
            self._backups.take_off()
        finally:
            self._state = None
            if vars(self.model).get(_FIT) is self:
                object.__delattr__(self.model, _FIT)
            self.session.close(status, message)

    # Steps.

    def _step_ended(self, extras: Mapping[str, Any], logs: Mapping[str, Any], state: Any) -> None:
        """Tell the session of a step (or of as many as one execution has), and take commands."""
        try:
            self._state = state
            self._tell_step(extras, logs)
            self.visit()
        except Exception as error:  # noqa: BLE001 - law 1: nothing of ours may raise into a training
            self.session.failed("train_function", error)
        finally:
            self._state = None

    def _tell_step(self, extras: Mapping[str, Any], logs: Mapping[str, Any]) -> None:
        # Read by the session, which waits for no device; here nothing is looked into.
        numbers = {name: value for name, value in logs.items() if self._is_number(name, value)}
        mean = numbers.pop("loss", None)
        loss = extras.get("loss", mean)
        metrics = numbers
        self._rate = extras.get("learning_rate")
        if self._rate is not None:
            metrics["learning_rate"] = self._rate
        metrics.update(self._next_metrics)
        self._next_metrics.clear()
        for _ in range(self._hidden_steps()):
            self.session.step_ended(None)
        self._done += 1
        if "texts" in extras and not self._vocabulary:
            self._say_if_words_are_unknown(extras["texts"])
        raw = StepExtras(extras, self._vocabulary)
        self.session.step_ended(raw, loss=loss, metrics=metrics)

    def _is_number(self, name: str, value: Any) -> bool:
        """Return whether a metric is a number, as it was when it was of that type before."""
        key = (name, type(value))
        if key not in self._numbers:
            self._numbers[key] = _is_number(value)
        return self._numbers[key]

    def _hidden_steps(self) -> int:
        """Return how many steps this execution made before the one that is seen."""
        made = self._each
        if self._steps_per_epoch is not None:
            made = min(made, self._steps_per_epoch - self._done)
        self._done += max(made - 1, 0)
        return max(made - 1, 0)

    def _say_if_words_are_unknown(self, texts: Any) -> None:
        if not self._said_of_words and "int" in str(texts.dtype):
            say(
                self.session,
                "x holds token ids, and the words they stand for are not known here: "
                "TrainmonCallback(vocabulary=layer.get_vocabulary())",
            )
        self._said_of_words = True

    def callbacks(self) -> Any:
        """Return Keras' list of the fit's callbacks; None: it is not known."""
        return None if self.call.key is None else self.call.key()

    def rate_in_force(self) -> float | None:
        """Return the learning rate of the step that was made last; waits for it."""
        return None if self._rate is None else float(keras.ops.convert_to_numpy(self._rate))

    def add_to_next_step(self, numbers: Mapping[str, float]) -> None:
        """Tell some numbers with the next step, as of an evaluation between two."""
        self._next_metrics.update(numbers)

    # Epochs and evaluations.

    def epoch_began(self, epoch: int) -> None:
        """Continue the counts of a resumed run, and take commands."""
        self._done = 0
        if not self._begun:
            self._begun = True
            self._resume(epoch)
        self.visit()

    def _resume(self, epoch: int) -> None:
        """Go on where the checkpoint stands that this fit began with, if it did.

        Args:
            epoch: The first of this fit, as Keras counts.
        """
        session, kept = self.session, self._backups.restored()
        if kept is not None:
            done = int(kept.get("global_step", self._steps_before(epoch)))
            before = int(kept.get("epochs_before", 0))
            again = session.attempt + (done < session.global_step)
            attempt = max(int(kept.get("attempt", -1)) + 1, again)
            session.resume_at(done, before + epoch, attempt=attempt)
        elif session.global_step == 0 and session.epoch == 0 and epoch:
            session.resume_at(self._steps_before(epoch), epoch)
        self._backups.epochs_before = session.epoch - epoch

    def _steps_before(self, epoch: int) -> int:
        return steps_made(self.model) or epoch * (self._steps_per_epoch or 0)

    def epoch_ended(self, logs: Mapping[str, Any]) -> None:
        """Tell the session of an epoch."""
        self.session.epoch_ended(EpochLogs(logs, self._rate))

    def evaluation_began(self) -> None:
        """Show that the validation runs."""
        if not self.evaluating:
            self._evaluation.enter_context(self.session.evaluating())
            self.evaluating = True

    def evaluation_ended(self) -> None:
        """Show that the training goes on."""
        self.evaluating = False
        self._evaluation.close()

    # Commands.

    def visit(self) -> None:
        """Take commands; a pause waits here, a stop ends the fit as Keras ends it."""
        try:
            self.session.visit_control_point(self)
        except StopTraining as stop:
            self._stop = stop
            self.model.stop_training = True
            self.model.stop_evaluating = True

    _stop: StopTraining | None = None

    def sync(self) -> None:
        """Put the state that a stateless step returned where the model's variables are."""
        if self._state is not None:
            names = (
                "trainable_variables",
                "non_trainable_variables",
                "optimizer_variables",
                "metrics_variables",
            )
            self.model._jax_state = dict(zip(names, self._state, strict=True))  # noqa: SLF001 - as Keras does after each step
            self._state = None
        if self._backend.stateless:
            self.model.jax_state_sync()

    def scope(self) -> AbstractContextManager[Any]:
        """Return what variables are assigned in: TensorFlow's distribution strategy, if any."""
        strategy = getattr(self.model, "_distribute_strategy", None)
        return strategy.scope() if strategy is not None else nullcontext()

    def retrace(self) -> None:
        """Compile the step anew: a schedule is fixed in it."""
        self._tap.rebuild()

    def offer(self, controls: Mapping[str, Any]) -> None:
        """Offer controls of the user's own, which find the model's variables up to date."""

        def synced(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                self.sync()
                with self.scope():
                    return function(*arguments)

            return call

        offer_controls(self.session, controls, self.model, synced)


def _is_number(value: Any) -> bool:
    """Return whether a step returned a number; a custom one may return dicts, arrays and texts."""
    if isinstance(value, (int, float)):
        return True
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None or shape is None or not _NUMBERS.search(str(dtype)):
        return False
    return bool(prod(shape) == 1)
