"""Words of a model whose input is text."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["vocabulary_of"]


def vocabulary_of(model: Any) -> list[str]:
    """Return the words of the model's TextVectorization or StringLookup; empty: it has none."""
    kinds = (keras.layers.TextVectorization, keras.layers.StringLookup)
    for layer in model._flatten_layers():  # noqa: SLF001 - `layers` does not reach into others
        if isinstance(layer, kinds):
            return [str(word) for word in layer.get_vocabulary()]
    return []
