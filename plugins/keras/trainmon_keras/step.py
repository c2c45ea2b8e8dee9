"""Tapping Keras' training step for the length of a fit.

The model's own ``train_step`` is wrapped before it is traced, so that what it computed comes out
as extra outputs, and the compiled ``train_function`` round it, so that the extras are taken off
before Keras or a callback sees them. Nothing is added to the model that lasts: the wrappers hang on
the instance, and are taken off when the fit ends. What was compiled is kept for the next fit of the
same model, which then compiles nothing anew.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import keras

from trainmon_keras.backends import Backend
from trainmon_keras.extras import SCALARS, Choice, Seen, make_extras

__all__ = ["KEY", "StepTap", "TrainFunction"]

_log = logging.getLogger("trainmon")

KEY = "__trainmon__"
_CACHE = "_trainmon_step"
_ABSENT = object()


class TrainFunction:
    """Stands where the model's ``train_function`` stood.

    Args:
        inner: The compiled function, whose logs have our extras.
        stateless: Whether it returns its state beside its logs.
        ended: Told the extras, the logs and the state of each step.
        failed: Told what a step raised; it is raised all the same.
    """

    def __init__(
        self,
        inner: Callable[..., Any],
        stateless: bool,
        ended: Callable[[Mapping[str, Any], Mapping[str, Any], Any], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.inner = inner
        self._stateless = stateless
        self._ended = ended
        self._failed = failed

    def __call__(self, *arguments: Any) -> Any:
        """Make a step (or as many as one execution has)."""
        try:
            result = self.inner(*arguments)
            logs, state = result if self._stateless else (result, None)
            extras = logs.pop(KEY, {}) if isinstance(logs, dict) else {}
            self._ended(extras, logs if isinstance(logs, dict) else {}, state)
        except BaseException as error:
            self._failed(error)
            raise
        return result


class StepTap:
    """The tap of one model, between two compilations of it.

    Args:
        model: The Keras model.
        backend: Keras' backend.
        choice: What the user said is to be shown.
    """

    def __init__(self, model: Any, backend: Backend, choice: Choice) -> None:
        self._model = model
        self._backend = backend
        self.choice = choice
        self.say: Callable[[str], None] = _log.info
        self.wanted: Callable[[], bool] = lambda: True
        """Asked where steps run eagerly; a compiled one always returns its extras."""
        self._local = threading.local()  # replicas are traced in threads of their own
        self._hung: list[tuple[Any, str]] = []
        self._original: Any = None
        self._inner: Any = None
        self._make: Any = None
        self._rebuilt = False
        self._turn = 0
        self._plain_step = model.train_step
        self._step = self._wrapped_step(self._plain_step)

    @classmethod
    def of(cls, model: Any, backend: Backend, choice: Choice) -> StepTap:
        """Return the model's tap; the one it had where the model was not compiled since."""
        kept = getattr(model, _CACHE, None)
        if isinstance(kept, cls) and kept.fits(model, choice):
            return kept
        return cls(model, backend, choice)

    def fits(self, model: Any, choice: Choice) -> bool:
        """Return whether what this tap compiled is still what the model would compile."""
        return (
            self._inner is not None
            and self._original is model.train_function
            and self.choice == choice
        )

    # On and off.

    def hang(
        self,
        ended: Callable[[Mapping[str, Any], Mapping[str, Any], Any], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Put the wrappers on the model, and compile anew unless that was done before."""
        model = self._model
        self._ended, self._failed = ended, failed
        known = self.fits(model, self.choice)
        self._original, self._rebuilt = model.train_function, False
        self._make = model.make_train_function
        self._put(model, "train_step", self._step)
        self._put(model, "compute_metrics", self._noting_metrics(model.compute_metrics))
        self._put(model, "compute_loss", self._noting_loss(model.compute_loss))
        self._put(model, "make_train_function", self._remake)
        for metric in model.metrics:
            self._put(metric, "update_state", self._noting_update(metric))
        if not known:
            self._make(force=True)
            self._inner = model.train_function
        self._place()
        object.__setattr__(model, _CACHE, self)

    def rebuild(self) -> None:
        """Compile the step anew: something that is fixed while it is traced has changed."""
        self._remake(force=True)

    def take_off(self) -> None:
        """Leave the model as it was."""
        model = self._model
        while self._hung:
            owner, name = self._hung.pop()
            with suppress(AttributeError):
                object.__delattr__(owner, name)
        if isinstance(model.train_function, TrainFunction):
            # Where the step was compiled anew, the old one is out of date.
            model.train_function = None if self._rebuilt else self._original
        if self._rebuilt:
            self._inner = None
        self._ended = self._failed = _nothing
        self.say, self.wanted = _log.info, lambda: True

    _ended: Callable[..., None] = staticmethod(lambda *_: None)
    _failed: Callable[..., None] = staticmethod(lambda *_: None)

    def _put(self, owner: Any, name: str, value: Any) -> None:
        # Past Keras' own __setattr__, which would track it, and Torch's.
        object.__setattr__(owner, name, value)
        self._hung.append((owner, name))

    def _place(self) -> None:
        function = TrainFunction(
            self._inner,
            self._backend.stateless,
            self._ended,
            self._failed,
        )
        self._model.train_function = function

    def _remake(self, force: bool = False) -> Any:
        """Do as ``make_train_function``, which a script may call in the midst of a fit."""
        if not force and self._model.train_function is not None:
            return self._model.train_function
        # A new function, for JAX would find what it traced for the old one.
        self._step = self._wrapped_step(self._plain_step)
        object.__setattr__(self._model, "train_step", self._step)
        self._make(force=True)
        self._inner, self._rebuilt = self._model.train_function, True
        self._place()
        return None

    # What is traced.

    @property
    def _seen(self) -> Seen | None:
        return getattr(self._local, "seen", None)

    @contextmanager
    def _seeing(self, seen: Seen) -> Iterator[None]:
        before = self._seen
        self._local.seen = seen
        try:
            yield
        finally:
            self._local.seen = before

    def _wrapped_step(self, original: Callable[..., Any]) -> Callable[..., Any]:
        guarded = self._backend.beside_compiled(self._guarded)

        @functools.wraps(original)
        def train_step(*arguments: Any, **named: Any) -> Any:
            seen = Seen(self._backend.place(arguments))
            seen.idle = seen.place is None and not self.wanted()
            turn, rate = guarded(lambda: self._before(arguments, seen)) or (None, None)
            with self._seeing(seen):
                result = original(*arguments, **named)
            extras = guarded(lambda: self._extras(seen, arguments, named, turn, rate))
            return self._joined(result, extras) if extras else result

        return self._backend.around_compiled(train_step)

    def _guarded(self, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except Exception as error:  # noqa: BLE001 - law 1: a step that cannot be shown goes on; said
            self.say(f"this model's steps cannot be shown: {type(error).__name__}: {error}")
            return None

    def _before(self, arguments: tuple[Any, ...], seen: Seen) -> tuple[Any, Any]:
        """Return a count of steps, and the learning rate that this step is made with."""
        optimizer = getattr(self._model, "optimizer", None)
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            return None, None
        if seen.place is None:  # nothing is traced: a count of our own costs the device nothing
            self._turn += 1
        if not self._backend.stateless:
            return _read(optimizer, self._turn if seen.place is None else None)
        state = arguments[0][2]
        mapping = list(zip(optimizer.variables, state, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return _read(optimizer)

    def _extras(
        self,
        seen: Seen,
        arguments: tuple[Any, ...],
        named: Mapping[str, Any],
        turn: Any,
        rate: Any,
    ) -> dict[str, Any]:
        if seen.idle:
            extras = {"loss": seen.values["loss"]} if "loss" in seen.values else {}
        else:
            data = named.get("data", arguments[-1] if arguments else None)
            x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
            whole = Seen(seen.place)
            whole.note(self._backend, x=x, y=y, sample_weight=weight)
            whole.values.update(seen.values)
            extras = make_extras(self._model, self._backend, whole, self.choice, turn, self.say)
        if rate is not None:
            extras["learning_rate"] = rate
        return self._backend.one_replica(
            {name: _plain(value) for name, value in extras.items()},
            SCALARS,
        )

    def _joined(self, result: Any, extras: dict[str, Any]) -> Any:
        if self._backend.stateless:
            logs, state = result
            return ({**logs, KEY: extras}, state) if isinstance(logs, dict) else result
        return {**result, KEY: extras} if isinstance(result, dict) else result

    def _noting_metrics(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def compute_metrics(*arguments: Any, **named: Any) -> Any:
            self._note(("x", "y", "y_pred", "sample_weight"), arguments, named)
            return original(*arguments, **named)

        return compute_metrics

    def _noting_loss(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def compute_loss(*arguments: Any, **named: Any) -> Any:
            self._note(("x", "y", "y_pred", "sample_weight"), arguments, named)
            loss = original(*arguments, **named)
            self._note(("loss",), (loss,), {})
            return loss

        return compute_loss

    def _noting_update(self, metric: Any) -> Callable[..., Any]:
        original = metric.update_state
        is_loss = metric.name == "loss"

        @functools.wraps(original)
        def update_state(*arguments: Any, **named: Any) -> Any:
            if is_loss:
                self._note(("loss",), arguments[:1], {})
            elif len(arguments) >= 2:
                self._note(("y", "y_pred"), arguments[:2], {}, only_new=True)
            return original(*arguments, **named)

        return update_state

    def _note(
        self,
        roles: tuple[str, ...],
        arguments: tuple[Any, ...],
        named: Mapping[str, Any],
        *,
        only_new: bool = False,
    ) -> None:
        seen = self._seen
        if seen is None:  # evaluation, or a call of the script's own
            return
        # Whether a picture is due is not asked here: a compiled step would be compiled anew for
        # each answer. Keras' own step holds what is noted as long.
        told = {**dict(zip(roles, arguments, strict=False)), **named}
        known = {role: value for role, value in told.items() if role in roles}
        if only_new:
            known = {role: value for role, value in known.items() if role not in seen.values}
        self._guarded(lambda: seen.note(self._backend, **known))


def _nothing(*_: Any) -> None:
    """Do nothing."""


def _plain(value: Any) -> Any:
    """Return a variable's value, so that what leaves the step is an array."""
    return keras.ops.convert_to_tensor(value) if isinstance(value, keras.Variable) else value


def _read(optimizer: Any, turn: int | None = None) -> tuple[Any, Any]:
    rate = optimizer.learning_rate
    known = _copied(optimizer.iterations) if turn is None else turn
    return known, (_copied(rate) if hasattr(rate, "dtype") else None)


def _copied(value: Any) -> Any:
    """Return the value now, apart from what the step will change in place."""
    return keras.ops.convert_to_tensor(value) + 0
