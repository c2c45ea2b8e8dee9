"""Which of the numbers that a module logs are new, and which are the losses people look for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trainmon.events import EpochEvent

__all__ = ["Logged"]

_VALIDATION = ("val", "valid", "validation", "eval")
_LOSS, _ACCURACY = ("loss",), ("acc", "acc1", "accuracy", "top1")
_WORDS = re.compile(r"[^a-z0-9]+")


class Logged:
    """What the module logs with ``self.log``, as callbacks may read it. Nothing is computed."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self.validated = False
        """Whether a validation has ended since the last epoch."""

    def news(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was logged since it was last asked, by name; arrays as they are."""
        news = {
            name: value for name, value in metrics.items() if self._known.get(name) is not value
        }
        self._known = dict(metrics)
        # Of ``on_step=True, on_epoch=True`` both names are there.
        return {
            name: value
            for name, value in news.items()
            if not (name.endswith("_step") and name.removesuffix("_step") in news)
        }

    def epoch(self, metrics: Mapping[str, Any], learning_rate: float | None) -> EpochEvent:
        """Return the end of an epoch, with what its validation found if there was one."""
        shown = {
            name: value
            for name, value in metrics.items()
            if not name.endswith("_step") and (self.validated or not _of_validation(name))
        }
        self.validated = False
        return EpochEvent(
            validation_loss=_first(shown, _LOSS, validation=True),
            validation_accuracy=_first(shown, _ACCURACY, validation=True),
            average_accuracy=_first(shown, _ACCURACY, validation=False),
            learning_rate=learning_rate,
            metrics=shown,
        )


def _of_validation(name: str) -> bool:
    return _WORDS.split(name.lower())[0] in _VALIDATION


def _first(metrics: Mapping[str, Any], words: tuple[str, ...], *, validation: bool) -> Any:
    return next(
        (
            value
            for name, value in metrics.items()
            if _of_validation(name) is validation and set(_WORDS.split(name.lower())) & set(words)
        ),
        None,
    )
