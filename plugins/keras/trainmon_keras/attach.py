"""Attaching to every fit of a process, with no line in the script.

Keras makes one list of callbacks a fit, and it alone asks for a History: ours is appended to that
list. It comes last, so that a callback of the user's own has opened the session by then and ours
turns itself off. ``fit`` itself is wrapped only to learn how it ended, where that was an exception.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras

from trainmon.adapters import harmless, wanted
from trainmon_keras.callback import TrainmonCallback
from trainmon_keras.fit import fit_of

__all__ = ["attach"]

_MARK = "_trainmon_wraps"


def attach() -> None:
    """Attach, once."""
    for owner, name, wrap in (
        (keras.callbacks.CallbackList, "__init__", _appending),
        (keras.Model, "fit", _watching),
    ):
        original = getattr(owner, name)
        if not hasattr(original, _MARK):
            wrapped = wrap(original)
            setattr(wrapped, _MARK, original)
            setattr(owner, name, wrapped)


def _appending(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def __init__(self: Any, *arguments: Any, **named: Any) -> None:  # noqa: N807 - it stands for one
        original(self, *arguments, **named)
        # Of fit, evaluate and predict only fit keeps a History.
        if named.get("add_history") and named.get("model") is not None:
            _append(self)

    return __init__


@harmless
def _append(callbacks: Any) -> None:
    if wanted() and not any(isinstance(each, TrainmonCallback) for each in callbacks.callbacks):
        callback = TrainmonCallback()
        callback.set_params(callbacks.params)
        callback.set_model(callbacks._model)  # noqa: SLF001 - `model` would copy JAX's state
        callbacks.callbacks.append(callback)


def _watching(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def fit(self: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return original(self, *arguments, **named)
        except BaseException as error:
            _tell(self, error)
            raise

    return fit


@harmless
def _tell(model: Any, error: BaseException) -> None:
    shown = fit_of(model)
    if shown is not None:
        shown.failed(error)
