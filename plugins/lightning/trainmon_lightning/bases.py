"""Being a callback of both packages: ``lightning.pytorch`` and ``pytorch_lightning`` each have one.

A Trainer takes a callback by itself only if it is of its own package's class, and calls hooks that
only that class may know. So a callback is made of whichever of the two are imported.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["framework_of", "made_for_lightning"]

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")
#: By the class as it was written and the classes of Lightning.
_known: dict[tuple[type[Any], ...], type[Any]] = {}


def made_for_lightning(kind: type[Any]) -> type[Any]:
    """Return a class that is also a callback of every package of Lightning imported by now.

    Raises:
        ImportError: None is installed.
    """
    return _made(kind, _callbacks() or (_installed(),))


def framework_of(trainer: Any) -> tuple[str, str]:
    """Return the package and the version of Lightning that a Trainer is of."""
    for kind in type(trainer).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in ("lightning", "pytorch_lightning"):
            return name, str(getattr(sys.modules.get(name), "__version__", ""))
    return "lightning", ""


def _callbacks() -> tuple[type[Any], ...]:
    found = (getattr(sys.modules.get(name), "Callback", None) for name in _PACKAGES)
    return tuple(each for each in found if isinstance(each, type))


def _installed() -> type[Any]:
    for name in _PACKAGES:
        if find_spec(name.partition(".")[0]) is not None:
            found: type[Any] = import_module(name).Callback
            return found
    raise ImportError("TrainmonCallback needs Lightning: pip install lightning")


def _made(kind: type[Any], bases: tuple[type[Any], ...]) -> type[Any]:
    key = (kind, *bases)
    made = _known.get(key)
    if made is None:
        names = {"__module__": kind.__module__, "__doc__": kind.__doc__, "written_as": kind}
        made = _known[key] = type(kind.__name__, key, names)
        made.__qualname__ = kind.__qualname__
    return made
