"""TensorFlow: steps are graphs, perhaps compiled by XLA, perhaps one per replica."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from trainmon_keras.backends import MOST_ROWS

__all__ = ["TensorFlowBackend"]


class TensorFlowBackend:
    """See :class:`trainmon_keras.backends.Backend`."""

    stateless = False

    def around_compiled(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return it as it is: it is traced with the step, as one graph."""
        return step

    def beside_compiled(self, part: Callable[..., Any]) -> Callable[..., Any]:
        """Return it as it is."""
        return part

    def place(self, arguments: tuple[Any, ...]) -> Any:  # noqa: ARG002 - the graph is ambient
        """Return the graph under construction; None: the step runs eagerly."""
        return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()

    def belongs(self, value: Any, place: Any) -> bool:
        """Return whether a value is no tensor of an inner function's graph."""
        return not tf.is_symbolic_tensor(value) or value.graph is place

    def size(self, value: Any) -> Any:
        """Return the first dimension, as a tensor where the graph does not know it."""
        known = value.shape[0]
        return tf.shape(value)[0] if known is None else tf.constant(known)

    def rows(self, size: Any, turn: Any) -> Any:
        """Return the indices of at most 16 rows."""
        stride = tf.maximum(size // MOST_ROWS, 1)
        shift = 0 if turn is None else tf.cast(turn, tf.int32) % stride
        return shift + stride * tf.range(tf.minimum(size, MOST_ROWS))

    def take(self, value: Any, rows: Any) -> Any:
        """Return those rows."""
        return tf.gather(tf.stop_gradient(value), rows)

    def one_replica(self, extras: dict[str, Any], scalars: frozenset[str]) -> dict[str, Any]:
        """Pad to 16 rows, and weigh the first replica's by their number and the others' by 0.

        Keras takes the mean of what the replicas return, as real numbers: so the mean is the first
        replica's value.
        """
        context = tf.distribute.get_replica_context()
        count = getattr(context, "num_replicas_in_sync", 1)
        if count == 1:
            return extras
        first = tf.equal(context.replica_id_in_sync_group, 0)

        def only_first(value: Any) -> Any:
            real = tf.cast(value, tf.float32)
            if real.shape.rank:
                missing = MOST_ROWS - tf.shape(real)[0]
                real = tf.pad(real, [[0, missing]] + [[0, 0]] * (real.shape.rank - 1))
            return tf.where(first, real * count, tf.zeros_like(real))

        rows = next((value for value in extras.values() if value.shape.rank), None)
        numbers = {name: value for name, value in extras.items() if value.dtype != tf.string}
        if rows is not None:
            numbers["rows"] = tf.shape(rows)[0]
        return {
            name: value if name in scalars else only_first(value) for name, value in numbers.items()
        }
