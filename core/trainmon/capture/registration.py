"""Describing a run from what its training gave and what this process can see."""

from __future__ import annotations

import os
import socket
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from operator import index
from typing import Any

from trainmon.errors import ConfigurationError
from trainmon.events import SessionInfo

__all__ = ["check_normalization", "describe_run", "script_name"]

#: What a monitor takes of a name, in characters.
_MOST_LETTERS = 256
#: What a loop of one's own is most likely built on, the most telling first.
_FRAMEWORKS = ("torch", "jax", "tensorflow", "numpy")


def describe_run(
    *,
    name: str,
    class_names: Sequence[str],
    total_epochs: int | None,
    batches_per_epoch: int | None,
    hyperparameters: Mapping[str, Any] | None,
    framework: str,
    framework_version: str,
    run_key: str,
    rank: int,
    world_size: int,
) -> SessionInfo:
    """Return what the run is.

    Raises:
        ConfigurationError: An argument cannot be used.
    """
    if isinstance(class_names, str) or not isinstance(class_names, Iterable):
        raise ConfigurationError("class_names", class_names, "a sequence of names")
    if hyperparameters is not None and not isinstance(hyperparameters, Mapping):
        raise ConfigurationError("hyperparameters", hyperparameters, "a mapping, as of vars(args)")
    counts = {
        "total_epochs": _count("total_epochs", total_epochs),
        "batches_per_epoch": _count("batches_per_epoch", batches_per_epoch),
    }
    if not 0 <= rank < world_size:
        raise ConfigurationError(
            "rank", rank, f"from 0 to world_size - 1, which is {world_size - 1}"
        )
    if len(run_key) > _MOST_LETTERS:
        expected = f"at most {_MOST_LETTERS} characters, not {len(run_key)}"
        raise ConfigurationError("run_key", run_key, expected)
    if not framework:
        framework, framework_version = _guess_framework()
    return SessionInfo(
        run_key=run_key or uuid.uuid4().hex,
        producer_id=uuid.uuid4().hex,
        session_name=_cut(str(name or "") or script_name()),
        framework=_cut(framework),
        framework_version=_cut(framework_version),
        class_names=tuple(_text(each) for each in class_names),
        **counts,
        hyperparameters={
            _text(name): _text(value) for name, value in (hyperparameters or {}).items()
        },
        hostname=socket.gethostname(),
        pid=os.getpid(),
        rank=rank,
        world_size=world_size,
    )


def _text(value: Any) -> str:
    """Return a value as people read it; where its text cannot be had, what kind of thing it is."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a stranger's __str__; that it failed is told
        return f"({type(value).__name__}, whose text raised {type(error).__name__})"


def _cut(text: str) -> str:
    """Return a text for people as long as a monitor takes it."""
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"


def _count(setting: str, value: Any) -> int | None:
    if value is None:
        return None
    try:
        count = index(value)
    except TypeError:
        count = 0
    if count < 1:
        raise ConfigurationError(setting, value, "a whole number from 1, or None")
    return count


def check_normalization(
    given: Mapping[str, Sequence[float]] | None,
) -> dict[str, list[float]] | None:
    """Return mean and standard deviation as plain numbers.

    Raises:
        ConfigurationError: Not of that form, or a deviation is not greater than 0.
    """
    if given is None:
        return None
    expected = "{'mean': [...], 'std': [...]} with one number per channel, each std above 0"
    try:
        mean = [float(value) for value in given["mean"]]
        std = [float(value) for value in given["std"]]
    except (KeyError, TypeError, ValueError):
        raise ConfigurationError("normalization", given, expected) from None
    if len(mean) != len(std) or not mean or not all(value > 0 for value in std):
        raise ConfigurationError("normalization", given, expected)
    return {"mean": mean, "std": std}


def _guess_framework() -> tuple[str, str]:
    for name in _FRAMEWORKS:
        module = sys.modules.get(name)
        if module is not None:
            return name, str(getattr(module, "__version__", ""))
    return "", ""


def script_name() -> str:
    """Return what people would call a run whose script gives it no name."""
    script = os.path.basename(sys.argv[0]) if sys.argv else ""  # noqa: PTH119 - may be no path
    return script.removesuffix(".py") or "training"
