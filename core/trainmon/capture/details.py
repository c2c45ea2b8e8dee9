"""What becomes known of a run only after it was registered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from typing import TYPE_CHECKING, Any

from trainmon.capture.controls import spec_fields

if TYPE_CHECKING:
    from trainmon.events import ControlSpec

__all__ = ["details", "merge"]

_MAX_NOTES = 100


def details(
    *,
    class_names: Sequence[str] | None,
    total_epochs: int | None,
    batches_per_epoch: int | None,
    hyperparameters: Mapping[str, Any] | None,
    controls: Sequence[ControlSpec],
    notes: Sequence[str],
) -> dict[str, Any]:
    """Return a DETAILS record's fields; what was not given is left out.

    Raises:
        TypeError: A count is no whole number.
    """
    given: dict[str, Any] = {
        "class_names": [str(name) for name in class_names or ()],
        "total_epochs": None if total_epochs is None else index(total_epochs),
        "batches_per_epoch": None if batches_per_epoch is None else index(batches_per_epoch),
        "hyperparameters": {str(key): str(value) for key, value in (hyperparameters or {}).items()},
        "controls": [spec_fields(spec) for spec in controls],
        "notes": [str(note) for note in notes],
    }
    return {name: value for name, value in given.items() if value}


def merge(known: dict[str, Any], news: Mapping[str, Any]) -> None:
    """Add what became known to what a relay that starts later is told."""
    for name, value in news.items():
        if name == "controls":
            by_name = {spec["name"]: spec for spec in [*known.get("controls", ()), *value]}
            known["controls"] = list(by_name.values())
        elif name == "hyperparameters":
            known[name] = {**known.get(name, {}), **value}
        elif name == "notes":
            known[name] = [*known.get(name, ()), *value][-_MAX_NOTES:]
        else:
            known[name] = value
