"""Controls of the user's own, in every form that an adapter takes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from trainmon.adapters import offer_controls


class _Session:
    """Takes what a session is told."""

    def __init__(self) -> None:
        self.knobs: dict[str, dict[str, Any]] = {}
        self.failures: list[str] = []

    def add_control(self, name: str, **told: Any) -> None:
        self.knobs[name] = told

    def failed(self, where: str, error: Exception) -> None:
        self.failures.append(f"{where}: {error}")


class _Variable:
    """As Keras' variables are: changed in place."""

    value = 1.0

    def assign(self, value: float) -> None:
        self.value = value


def test_every_form_is_turned() -> None:
    """A path, a path to a variable, a function, a pair, and a mapping with more about it."""
    told: list[float] = []
    model = SimpleNamespace(dropout=SimpleNamespace(p=0.5), weight=_Variable())
    variable, session = model.weight, _Session()
    controls = {
        "path": "dropout.p",
        "variable": "weight",
        "function": told.append,
        "pair": (told.append, lambda: 7.0),
        "mapping": {"set": told.append, "minimum": 0.0},
    }
    offer_controls(session, controls, model)  # type: ignore[arg-type] # as much of one as is needed
    for number, name in enumerate(controls):
        session.knobs[name]["set"](number)
    assert (model.dropout.p, told) == (0, [2, 3, 4])
    assert model.weight is variable
    assert variable.value == 1
    assert session.knobs["path"]["get"]() == 0
    assert session.knobs["pair"]["get"]() == 7.0
    assert session.knobs["mapping"]["minimum"] == 0.0


def test_one_that_cannot_be_keeps_no_other_back() -> None:
    """It is told with its name, and the next is offered."""
    session = _Session()
    controls = {"nowhere": "no.such.path", "nothing": 3, "good": print}
    offer_controls(session, controls, SimpleNamespace())  # type: ignore[arg-type] # as above
    assert list(session.knobs) == ["good"]
    assert [each.partition(":")[0] for each in session.failures] == [
        "the control 'nowhere'",
        "the control 'nothing'",
    ]
