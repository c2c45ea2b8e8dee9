"""Controls of the user's own, said in one line that is the same for every adapter.

``TrainmonCallback(controls={"dropout": "dropout.p"})``, or ``callback.add_control("dropout", set,
get)``, which returns the callback.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainmon.session import Session

__all__ = ["offer_controls"]


def offer_controls(
    session: Session,
    controls: Mapping[str, Any],
    owner: Any,
    around: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function,
) -> None:
    """Offer the user's own controls; one that cannot be is told, and keeps no other back.

    Args:
        session: The run.
        controls: By name a function that takes the value; a pair ``(set, get)``; a path of the
            model such as ``"dropout.p"``; or a mapping of what ``Session.add_control`` takes.
        owner: The model that paths begin at.
        around: Returns what is called in place of each ``set`` and ``get``.
    """
    for name, given in controls.items():
        _offer(session, name, given, owner, around)


def _offer(
    session: Session,
    name: str,
    given: Any,
    owner: Any,
    around: Callable[[Callable[..., Any]], Callable[..., Any]],
) -> None:
    try:
        told = _arguments(given, owner)
        wrapped = {key: around(told[key]) for key in ("set", "get") if told.get(key)}
        session.add_control(name, **{**told, **wrapped})
    except Exception as error:  # noqa: BLE001 - law 1: what a user gave ends no training; told
        session.failed(f"the control {name!r}", error)


def _arguments(given: Any, owner: Any) -> dict[str, Any]:
    """Return the arguments of ``add_control`` for what the user gave.

    Raises:
        TypeError: It is none of the forms.
        AttributeError: The model has nothing at that path.
    """
    if isinstance(given, str):
        path, _, name = given.rpartition(".")
        holder = attrgetter(path)(owner) if path else owner
        held = getattr(holder, name)
        # A variable of Keras is changed in place: a compiled step sees no other.
        change = getattr(held, "assign", None) or partial(setattr, holder, name)
        return {"set": change, "get": partial(getattr, holder, name)}
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, (tuple, list)) and len(given) == 2:
        return {"set": given[0], "get": given[1]}
    if callable(given):
        return {"set": given}
    raise TypeError(
        f"a control is a function, a pair (set, get), a path of the model, or a mapping of what "
        f"session.add_control takes; got {given!r}"
    )
