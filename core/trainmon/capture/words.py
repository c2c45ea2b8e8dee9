"""Texts of a batch: samples, what a model wrote, what it should have written, tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trainmon.capture.arrays import Array, as_numpy
from trainmon.capture.sparse import SparseArray

__all__ = [
    "MOST_TOKENS",
    "TEXT_ROLES",
    "TokenTexts",
    "read_texts",
    "read_token_losses",
    "read_tokens",
]

#: Roles whose samples are strings.
TEXT_ROLES = ("texts", "output_texts", "target_texts")
#: Characters of one sample's text, and of all of a frame: to write more would take a millisecond.
_MOST_CHARACTERS = 20_000
_MOST_CHARACTERS_OF_A_FRAME = 100_000
_MOST_CHARACTERS_OF_A_TOKEN = 200
#: Tokens of one sample: the first.
MOST_TOKENS = 256


class TokenTexts(Sequence[str]):
    """Texts told by their token ids, wherever these lie; decoded only where they are read.

    Args:
        ids: Token ids, (B, T).
        decode: Returns the text of one row of them, an array of the CPU's memory.
    """

    def __init__(self, ids: Any, decode: Callable[[Array], str]) -> None:
        self.ids = ids
        self.decode = decode

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    def __getitem__(self, row: Any) -> Any:
        ids = self.ids
        found = ids.item(int(row)) if isinstance(ids, SparseArray) else as_numpy(ids[int(row)])
        return self.decode(found)


def read_texts(samples: Sequence[Any], rows: Sequence[int]) -> list[str]:
    """Return the texts of the chosen samples, cut where they are long."""
    most = min(_MOST_CHARACTERS, _MOST_CHARACTERS_OF_A_FRAME // max(1, len(rows)))
    return [_string(samples[row])[:most] for row in rows]


def _string(value: Any) -> str:
    if isinstance(value, bytes):  # TensorFlow's strings
        return value.decode("utf-8", "replace")
    return str(value)


def read_tokens(samples: Sequence[Any], rows: Sequence[int]) -> list[list[str]]:
    """Return the first tokens of the chosen samples.

    Raises:
        TypeError: A sample is no sequence of tokens.
    """
    found = []
    for row in rows:
        sample = samples[row]
        if isinstance(sample, (str, bytes)):
            raise TypeError(f"the tokens of sample {row} are one string; expected a list of them")
        tokens = sample[:MOST_TOKENS]
        found.append([_string(token)[:_MOST_CHARACTERS_OF_A_TOKEN] for token in tokens])
    return found


def read_token_losses(samples: Sequence[Any], rows: Sequence[int]) -> Array:
    """Return the losses of the first tokens of the chosen samples, (rows, MOST_TOKENS), float32.

    NaN: not scored, or no such token.

    Raises:
        TypeError: A sample is no array of numbers, or lies on an accelerator.
    """
    found = np.full((len(rows), MOST_TOKENS), np.nan, np.float32)
    for target, row in zip(found, rows, strict=True):
        losses = as_numpy(samples[row]).reshape(-1)[:MOST_TOKENS]
        target[: len(losses)] = losses
    return found
