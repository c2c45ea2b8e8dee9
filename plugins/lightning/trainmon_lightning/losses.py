"""Seeing what a loss function was given: the surest sign of what a model predicts.

For the length of a batch, the losses of ``torch.nn.functional`` are replaced by functions that
note their arguments and call the original. What they compute is the original's, to the last bit.
They note always and without a branch, so that a compiled step is traced once, watched or not; and
as attributes, for whose presence a compiled step does not ask: torch's compiler calls these
functions itself, by their names, before it writes down what the step relies on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["LossCalls"]

_FUNCTIONS = (
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
)


class _Newest:
    """The newest call of one loss function, or of all.

    Attributes:
        arguments: Prediction and target, as they were given; None: not called.
        last: The function that was called last, as another of these.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.arguments: tuple[Any, Any] | None = None
        self.last: _Newest | None = None


class LossCalls:
    """The newest call of each loss function."""

    def __init__(self) -> None:
        self._all = _Newest()
        self._newest = {name: _Newest(name) for name in _FUNCTIONS}
        self._originals: dict[str, Callable[..., Any]] = {}
        self._noting: dict[str, Callable[..., Any]] = {}

    def newest(self) -> Iterator[tuple[str, Any, Any]]:
        """Return each function that was called, its prediction and target; the last call first."""
        last = self._all.last
        others = [each for each in self._newest.values() if each is not last]
        for each in (last, *others):
            if each is not None and each.arguments is not None:
                yield (each.name, *each.arguments)

    def forget(self) -> None:
        """Let go of what was noted."""
        self._all.last = None
        for each in self._newest.values():
            each.arguments = None

    def watch(self) -> None:
        """Note calls from now on."""
        if self._originals:
            return
        from torch.nn import functional

        for name in _FUNCTIONS:
            original: Any = getattr(functional, name, None)
            if original is None:
                continue
            known = self._noting.get(name)
            if getattr(known, "__wrapped__", None) is not original:
                self._noting[name] = _noting(self._all, self._newest[name], original)
            self._originals[name] = original
            # The same function each time: a compiled step checks that it is.
            setattr(functional, name, self._noting[name])

    def ignore(self) -> None:
        """Put the originals back."""
        if not self._originals:
            return
        from torch.nn import functional

        for name, original in self._originals.items():
            if getattr(functional, name, None) is self._noting[name]:
                setattr(functional, name, original)
        self._originals.clear()


def _noting(every: _Newest, newest: _Newest, original: Callable[..., Any]) -> Callable[..., Any]:
    # The names of the first two parameters are those of every loss in torch.nn.functional.
    @functools.wraps(original)
    def loss(input: Any, target: Any, *rest: Any, **named: Any) -> Any:  # noqa: A002 - torch's name
        newest.arguments = (input, target)
        every.last = newest
        return original(input, target, *rest, **named)

    return loss
