"""What differs between Keras' backends: where a value lives, and how rows are taken from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["MOST_ROWS", "Backend", "backend_named"]

MOST_ROWS = 16


class Backend(Protocol):
    """One of TensorFlow, JAX and Torch."""

    stateless: bool
    """Whether the step takes and returns its state, as with JAX."""

    def around_compiled(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return what goes round the model's own step, so that the step is compiled as ever."""
        ...

    def beside_compiled(self, part: Callable[..., Any]) -> Callable[..., Any]:
        """Return what goes before or after the model's own step, and is ours alone."""
        ...

    def place(self, arguments: tuple[Any, ...]) -> Any:
        """Return where a step is under way: the graph or trace that its values belong to."""
        ...

    def belongs(self, value: Any, place: Any) -> bool:
        """Return whether a value may be an output of the step; one of an inner trace may not."""
        ...

    def size(self, value: Any) -> Any:
        """Return the number of rows, known or traced."""
        ...

    def rows(self, size: Any, turn: Any) -> Any:
        """Return the indices of at most 16 rows, evenly spread; ``turn`` shifts them each step."""
        ...

    def take(self, value: Any, rows: Any) -> Any:
        """Return those rows, apart from any gradient."""
        ...

    def one_replica(self, extras: dict[str, Any], scalars: frozenset[str]) -> dict[str, Any]:
        """Return the extras so that Keras' mean over replicas leaves those of the first."""
        ...


def backend_named(name: str) -> Backend | None:
    """Return the backend of that name; None: one that does not train, or is not known."""
    if name == "tensorflow":
        from trainmon_keras.backends.tensorflow import TensorFlowBackend

        return TensorFlowBackend()
    if name == "jax":
        from trainmon_keras.backends.jax import JaxBackend

        return JaxBackend()
    if name == "torch":
        from trainmon_keras.backends.torch import TorchBackend

        return TorchBackend()
    return None
