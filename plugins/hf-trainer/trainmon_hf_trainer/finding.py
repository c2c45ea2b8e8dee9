"""Finding the Trainer that calls a callback: transformers tells callbacks everything but that."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["trainer_that_calls"]

#: From a Trainer to its callbacks there are two calls; subclasses and decorators add a few.
_MOST_FRAMES = 32


def trainer_that_calls(callback: Any) -> tuple[Any | None, Any]:
    """Return the Trainer whose event is under way, and what it resumes from; None: not found.

    It is the nearest caller whose ``self`` holds a ``callback_handler`` with this callback. That
    needs no change to the Trainer and holds for each of its subclasses; it is done once a training.
    """
    frame = sys._getframe(1)  # noqa: SLF001 - the interpreter's documented way to the callers
    for _ in range(_MOST_FRAMES):
        owner = frame.f_locals.get("self")
        handler = getattr(owner, "callback_handler", None)
        if any(each is callback for each in getattr(handler, "callbacks", ())):
            return owner, frame.f_locals.get("resume_from_checkpoint")
        if frame.f_back is None:
            return None, None
        frame = frame.f_back
    return None, None
