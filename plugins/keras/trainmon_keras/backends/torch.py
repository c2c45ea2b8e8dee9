"""Torch: steps run eagerly, or through torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from trainmon_keras.backends import MOST_ROWS

__all__ = ["TorchBackend"]


class TorchBackend:
    """See :class:`trainmon_keras.backends.Backend`."""

    stateless = False

    def around_compiled(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return it so that torch.compile leaves it alone, and compiles the model's own within.

        Keras' step is no whole graph there anyway: it is cut in two at the backward pass.
        """
        left_alone: Callable[..., Any] = torch.compiler.disable(step, recursive=False)
        return left_alone

    def beside_compiled(self, part: Callable[..., Any]) -> Callable[..., Any]:
        """Return it so that it is never compiled, nor what it calls."""
        left_alone: Callable[..., Any] = torch.compiler.disable(part)
        return left_alone

    def place(self, arguments: tuple[Any, ...]) -> Any:  # noqa: ARG002 - as the protocol has it
        """Return nothing: tensors have no graph of their own."""
        return None

    def belongs(self, value: Any, place: Any) -> bool:  # noqa: ARG002 - as the protocol has it
        """Return whether this is a value: always."""
        return True

    def size(self, value: Any) -> int:
        """Return the first dimension."""
        return int(value.shape[0])

    def rows(self, size: int, turn: Any) -> Any:
        """Return at most 16 rows, as a slice: of no device, so that none is waited for."""
        stride = max(size // MOST_ROWS, 1)
        shift = (turn or 0) % stride
        return slice(shift, shift + stride * min(size, MOST_ROWS), stride)

    def take(self, value: Any, rows: Any) -> Any:
        """Return those rows, copied and detached."""
        return value.detach()[rows].clone()

    def one_replica(
        self,
        extras: dict[str, Any],
        scalars: frozenset[str],  # noqa: ARG002 - as the protocol has it
    ) -> dict[str, Any]:
        """Return the extras: each process has one replica."""
        return extras
