"""Opening the session of a training that a framework drives: one per run, however it is reached.

A framework's training can be reached several ways at once: by hand, by a callback, by automatic
attachment. The first that comes opens the session, the others are told that there is one. Fits of
the same model in one process are one run, whose counts go on; another model is another run.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from trainmon._guard import describe
from trainmon.capture.lifecycle import open_sessions, used_run_keys
from trainmon.capture.registration import script_name
from trainmon.errors import StopTraining

if TYPE_CHECKING:
    from trainmon.config import Settings
    from trainmon.session import Session

__all__ = ["harmless", "open_run", "say", "wanted"]

_log = logging.getLogger("trainmon")
P = ParamSpec("P")
T = TypeVar("T")

#: Texts and failures remembered so that they are said once; beyond it nothing new is said.
_MOST_TOLD = 200


class _Run:
    """What is remembered of a run while its model lives.

    Args:
        owner: Weak reference to the model.
        session: The newest session that showed it; a closed one holds nothing of the user's.
    """

    __slots__ = ("owner", "session")

    def __init__(self, owner: weakref.ref[Any], session: Session) -> None:
        self.owner = owner
        self.session = session


_lock = threading.Lock()
#: By the id of the model, for a model need not be hashable.
_runs: dict[int, _Run] = {}
#: Sessions that belong to a model; any other is the script's own and shows whatever trains.
_owned: weakref.WeakSet[Session] = weakref.WeakSet()
_told: weakref.WeakKeyDictionary[Session, set[str]] = weakref.WeakKeyDictionary()
_failed: set[tuple[str, str]] = set()


def wanted() -> bool:
    """Return whether automatic attachment is asked for: TRAINMON_MONITOR is set."""
    return bool(os.environ.get("TRAINMON_MONITOR"))


def open_run(  # noqa: D417 - the others are as of start_session
    owner: Any,
    *,
    adapter: str,
    name: str = "",
    framework: str = "",
    framework_version: str = "",
    class_names: Sequence[str] = (),
    total_epochs: int | None = None,
    batches_per_epoch: int | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    normalization: Mapping[str, Sequence[float]] | None = None,
    rank: int | None = None,
    world_size: int | None = None,
    run_key: str | None = None,
    settings: Settings | None = None,
) -> Session | None:
    """Start showing a training, or its next fit; never raises.

    Fits of the same owner in one process are one run: the new session joins the old one on the
    page, and ``global_step``, ``epoch`` and ``attempt`` go on where they stood. Call
    ``session.resume_at`` afterwards where a checkpoint says otherwise.

    Args:
        owner: The model. Only a weak reference is kept; one that allows none is a new run each fit.
        adapter: The plugin that feeds the session.
        name: For people; unset: TRAINMON_SESSION_NAME, else the script's, numbered from the second
            model of a process on.
        total_epochs: Epochs that this fit will train; those trained by earlier fits are added.
        run_key: The first owner's key; the next owners of this process get it with ``-2``, ``-3``…
            appended, on every rank the same if every rank fits them in the same order. Unset:
            TRAINMON_RUN_KEY, else one that all ranks of a process group agree on, for each owner.

    The other arguments are as of :func:`trainmon.start_session`.

    Returns:
        The session, to be closed at the end of the fit. None: an open session of this process
        already shows this training, or the configuration cannot be used; either is logged.
    """
    said = {
        "name": name,
        "adapter": adapter,
        "framework": framework,
        "framework_version": framework_version,
        "class_names": class_names,
        "batches_per_epoch": batches_per_epoch,
        "hyperparameters": hyperparameters,
        "normalization": normalization,
        "rank": rank,
        "world_size": world_size,
    }
    try:
        with _lock:
            return _open(owner, said, total_epochs, run_key, settings)
    except Exception as error:  # noqa: BLE001 - law 1: an adapter never raises into a training
        _tell_failure(f"{adapter}: this training is not shown", error)
        return None


def _open(
    owner: Any,
    said: dict[str, Any],
    total_epochs: int | None,
    run_key: str | None,
    settings: Settings | None,
) -> Session | None:
    # Not at the top: every command imports the plugins, and few open a session.
    from trainmon.config import Settings
    from trainmon.start import start_session

    present = _shown_by(owner)
    if present is not None:
        _say_that_it_is_shown(present, said["adapter"])
        return None
    settings = settings or Settings.from_environment()
    before = _before(owner)
    said["name"] = said["name"] or _name(before, settings)
    session = start_session(
        **said,
        total_epochs=_epochs_in_all(total_epochs, before),
        run_key=before.info.run_key if before else _key(run_key or settings.run_key),
        settings=settings,
    )
    _remember(owner, session, before)
    return session


def _shown_by(owner: Any) -> Session | None:
    """Return the open session that shows this owner, or whatever trains; None: there is none."""
    run = _runs.get(id(owner))
    if run is not None and run.owner() is owner and not run.session.closed:
        return run.session
    return next((session for session in open_sessions() if session not in _owned), None)


def _before(owner: Any) -> Session | None:
    run = _runs.get(id(owner))
    return run.session if run is not None and run.owner() is owner else None


def _name(before: Session | None, settings: Settings) -> str:
    """Return the name of a run whose script gives none, numbered where it is not the first here."""
    if before is not None:
        return before.info.session_name
    others = len(used_run_keys())
    return f"{settings.session_name or script_name()} ({others + 1})" if others else ""


def _epochs_in_all(this_fit: int | None, before: Session | None) -> int | None:
    return this_fit if this_fit is None or before is None else before.epoch + this_fit


def _key(given: str) -> str:
    from trainmon.capture.ranks.group import agreed_run_key

    return _new_key(given or agreed_run_key())


def _new_key(base: str) -> str:
    """Return the base, numbered where this process has shown a run of that key already."""
    if not base:
        return uuid.uuid4().hex
    used = used_run_keys()
    key, number = base, 1
    while key in used:
        number += 1
        key = f"{base}-{number}"
    return key


def _remember(owner: Any, session: Session, before: Session | None) -> None:
    _owned.add(session)
    if before is not None:
        session.resume_at(before.global_step, before.epoch, attempt=before.attempt)
    identity = id(owner)
    with suppress(TypeError):  # it allows no weak references
        reference = weakref.ref(owner, lambda _: _runs.pop(identity, None))
        _runs[identity] = _Run(reference, session)


def _say_that_it_is_shown(session: Session, adapter: str) -> None:
    _log_once(
        session,
        f"the session {session.info.session_name!r} (by {session.adapter!r}) already shows this "
        f"training, so {adapter!r} opens no other",
    )


def say(session: Session, text: str) -> None:
    """Tell people once, in the log and as a note on the page: what was chosen, what is not known.

    Args:
        session: The run.
        text: A sentence, with the line that overrides what was chosen.
    """
    if _log_once(session, text):
        session.describe(notes=[text])


def _log_once(session: Session, text: str) -> bool:
    told = _told.setdefault(session, set())
    if text in told or len(told) >= _MOST_TOLD:
        return False
    told.add(text)
    try:
        _log.info("trainmon: %s", text)
    except Exception as error:  # noqa: BLE001 - a logging handler may be a stranger's; counted
        session.failed("logging", error)
    return True


def harmless(method: Callable[P, T]) -> Callable[P, T | None]:
    """Let nothing that a callback's method raises reach the training; it answers None then.

    An Exception is logged once, counted and shown on the page: by the session that the callback
    holds as its attribute ``session`` or ``_session``, if any. StopTraining, KeyboardInterrupt and
    SystemExit pass.
    """

    @functools.wraps(method)
    def door(*arguments: P.args, **named: P.kwargs) -> T | None:
        try:
            return method(*arguments, **named)
        except StopTraining:
            raise
        except Exception as error:  # noqa: BLE001 - law 1: nothing of ours may raise into a training
            _count(method.__name__, error, arguments[0] if arguments else None)
            return None

    return door


def _count(where: str, error: Exception, callback: Any) -> None:
    from trainmon.session import Session

    held = getattr(callback, "__dict__", {})
    for name in ("session", "_session"):
        if isinstance(held.get(name), Session) and not held[name].closed:
            held[name].failed(where, error)
            return
    _tell_failure(where, error)


def _tell_failure(where: str, error: Exception) -> None:
    """Log a failure that no session can show, once."""
    kind = (where, describe(error)[:200])
    if kind in _failed or len(_failed) >= _MOST_TOLD:
        return
    _failed.add(kind)
    with suppress(Exception):  # a logging handler may be a stranger's, too
        _log.warning("trainmon: %s: %s (training goes on; said once)", *kind, exc_info=error)
