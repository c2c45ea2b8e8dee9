"""Batches of which only some rows are here, at the places they have in the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainmon.capture.arrays import Array

__all__ = ["SparseArray", "SparseList"]


@dataclass(frozen=True)
class SparseArray:
    """Rows of an array that is elsewhere.

    Args:
        total: Rows of that array.
        rows: Which are here, ascending.
        array: They, in this order.
    """

    total: int
    rows: Array
    array: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that is elsewhere."""
        return (self.total, *self.array.shape[1:])

    def item(self, row: int) -> Array:
        """Return one of the rows that are here, by its place in the array that is elsewhere.

        Raises:
            IndexError: It is not here.
        """
        found: Array = self.array[self.rows == row][0]
        return found


class SparseList(Sequence[Any]):
    """Some of the items of a list.

    Args:
        total: Length of the list.
        items: Those that are here, by their place.
    """

    def __init__(self, total: int, items: Mapping[int, Any]) -> None:
        self._total = total
        self._items = items

    def __len__(self) -> int:
        return self._total

    def __getitem__(self, place: Any) -> Any:
        return self._items[int(place)]
