"""JAX: a step is a pure function of state and data, traced when it is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from trainmon_keras.backends import MOST_ROWS

__all__ = ["JaxBackend"]


def _trace(value: Any) -> Any:
    return getattr(value, "_trace", value)  # where there is none, no other value is of it


class JaxBackend:
    """See :class:`trainmon_keras.backends.Backend`."""

    stateless = True

    def around_compiled(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return it as it is: it is traced with the step, as one graph."""
        return step

    def beside_compiled(self, part: Callable[..., Any]) -> Callable[..., Any]:
        """Return it as it is."""
        return part

    def place(self, arguments: tuple[Any, ...]) -> Any:
        """Return the trace that the step's arguments are of; None: it runs eagerly."""
        found = (each for each in jax.tree.leaves(arguments) if isinstance(each, jax.core.Tracer))
        return next(map(_trace, found), None)

    def belongs(self, value: Any, place: Any) -> bool:
        """Return whether a value is no tracer of an inner trace, as of the gradient's."""
        return not isinstance(value, jax.core.Tracer) or _trace(value) is place

    def size(self, value: Any) -> int:
        """Return the first dimension, which JAX always knows."""
        return int(value.shape[0])

    def rows(self, size: int, turn: Any) -> Any:
        """Return the indices of at most 16 rows."""
        stride = max(size // MOST_ROWS, 1)
        shift = 0 if turn is None else turn % stride
        return shift + stride * jnp.arange(min(size, MOST_ROWS))

    def take(self, value: Any, rows: Any) -> Any:
        """Return those rows."""
        return jnp.take(jnp.asarray(value), rows, axis=0)

    def one_replica(
        self,
        extras: dict[str, Any],
        scalars: frozenset[str],  # noqa: ARG002 - as the protocol has it
    ) -> dict[str, Any]:
        """Return the extras: a sharded array is one array."""
        return extras
