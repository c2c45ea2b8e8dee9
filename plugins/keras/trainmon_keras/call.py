"""What ``fit`` was called with: read from its frame, for Keras tells its callbacks little of it."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FitCall", "call_of", "same_call"]


@dataclass(frozen=True)
class FitCall:
    """The arguments of a fit that matter here; empty where the frame does not tell."""

    key: Callable[[], Any] | None = None
    """Weak reference to Keras' list of callbacks, of which each fit makes its own."""
    x: Any = None
    batch_size: int | None = None
    initial_epoch: int = 0
    callbacks: Sequence[Any] = ()
    validation: Mapping[str, Any] = field(default_factory=dict)
    """Arguments for ``evaluate``; empty: there is no validation set."""


def same_call(one: FitCall, other: FitCall) -> bool:
    """Return whether two callbacks were called by the same fit."""
    if one.key is None or other.key is None:
        return one.key is other.key
    return one.key() is not None and one.key() is other.key()


def call_of(model: Any) -> FitCall:
    """Return what the ``fit`` of this model that is under way was called with.

    Only names are looked up: nothing is iterated, and the frame is not kept.
    """
    frame = sys._getframe(1)  # noqa: SLF001 - the way to a frame without reading source files
    found: FitCall | None = None
    while frame is not None and found is None:
        if frame.f_code.co_name == "fit" and "epoch_iterator" in frame.f_code.co_varnames:
            told = frame.f_locals
            if told.get("self") is model:
                found = _from(told)
        frame = frame.f_back  # type: ignore[assignment] # the outermost has none
    return found or FitCall()


def _from(told: Mapping[str, Any]) -> FitCall:
    callbacks = told.get("callbacks")
    batch_size = told.get("validation_batch_size") or told.get("batch_size")
    validation = {
        "x": told.get("val_x"),
        "y": told.get("val_y"),
        "sample_weight": told.get("val_sample_weight"),
        "batch_size": batch_size,
        "steps": told.get("validation_steps"),
    }
    return FitCall(
        key=None if callbacks is None else weakref.ref(callbacks),
        x=told.get("x"),
        batch_size=told.get("batch_size"),
        initial_epoch=told.get("initial_epoch") or 0,
        callbacks=tuple(getattr(callbacks, "callbacks", callbacks) or ()),
        validation=validation if told.get("val_x") is not None else {},
    )
