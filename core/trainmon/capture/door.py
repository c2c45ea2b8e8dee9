"""The door between trainmon and the training: nothing of ours that fails gets through.

What goes wrong inside is logged once for each kind of failure, counted, shown on the page, and
the training goes on.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from trainmon._guard import describe
from trainmon.channel import Word
from trainmon.errors import StopTraining

if TYPE_CHECKING:
    from trainmon.session import Session

__all__ = ["FailureLog", "counts_of", "guarded", "log"]

log = logging.getLogger("trainmon")
P = ParamSpec("P")
T = TypeVar("T")


def guarded(
    method: Callable[Concatenate[Session, P], T],
) -> Callable[Concatenate[Session, P], T | None]:
    """Make a session's method harmless: an Exception is told to :meth:`Session.failed`.

    StopTraining is meant to be raised; KeyboardInterrupt and SystemExit are the user's.
    """

    @functools.wraps(method)
    def door(session: Session, /, *arguments: P.args, **named: P.kwargs) -> T | None:
        try:
            return method(session, *arguments, **named)
        except StopTraining:
            raise
        except Exception as error:  # noqa: BLE001 - law 1: nothing of ours may raise into a training
            session.failed(method.__name__, error)
            return None

    return door


class FailureLog:
    """Logs each kind of failure once and counts them all.

    Args:
        words: The control block's words, where the count is shown.
    """

    def __init__(self, words: Any) -> None:
        self._words = words
        self._seen: set[tuple[str, str]] = set()

    def add(self, where: str, error: BaseException) -> str | None:
        """Count a failure; return what to tell people the first time, else None."""
        self._words[Word.ADAPTER_FAILURES] += 1
        kind = (where, describe(error)[:200])
        if kind in self._seen or len(self._seen) >= 100:
            return None
        self._seen.add(kind)
        text = f"{where}: {kind[1]}"
        try:
            log.warning("trainmon: %s (training goes on; said once)", text, exc_info=error)
        except Exception:  # noqa: BLE001 - a handler or filter may be a stranger's, too
            self._words[Word.ADAPTER_FAILURES] += 1
        return text


def counts_of(words: Any) -> dict[str, int]:
    """Return what the control block has counted."""
    return {
        "steps": words[Word.STEPS],
        "refused_scalars": words[Word.REFUSED_SCALARS],
        "refused_events": words[Word.REFUSED_EVENTS],
        "refused_by_relay": words[Word.RELAY_REFUSED],
        "merged_by_relay": words[Word.RELAY_MERGED],
        "thinned_pictures": words[Word.THINNED_PICTURES],
        "failures": words[Word.ADAPTER_FAILURES],
        "bytes_copied": words[Word.BYTES_COPIED],
    }
