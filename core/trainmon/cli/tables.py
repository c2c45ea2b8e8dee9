"""Tables as files: CSV by the standard library, Parquet by pyarrow where it is installed."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, BinaryIO, Literal, NamedTuple

import click

__all__ = ["Column", "CsvWriter", "ParquetWriter", "TableWriter"]

_MAX_INT64 = (1 << 63) - 1


class Column(NamedTuple):
    """One column of a table. A cell that is None is unknown."""

    name: str
    kind: Literal["text", "whole", "number"]
    """Texts, whole numbers, doubles."""


class TableWriter(ABC):
    """Writes a table to a stream, some rows at a time."""

    @abstractmethod
    def write(self, columns: Sequence[Sequence[Any]]) -> None:
        """Add rows, given as equally long columns."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left; the stream stays open."""


class CsvWriter(TableWriter):
    """UTF-8, a line of names first, lines end in a line feed, unknown cells are empty.

    Doubles are written with the fewest digits that give back the same double; ``nan``, ``inf``
    and ``-inf`` are values.

    Args:
        stream: Where to.
        columns: What the table has.
        shown: Applied to texts, where a terminal shows them.
    """

    def __init__(
        self,
        stream: BinaryIO,
        columns: Sequence[Column],
        shown: Callable[[str], str] | None = None,
    ) -> None:
        self._stream = stream
        self._columns = columns
        self._shown = shown
        names = [column.name for column in columns]
        self._write_lines([[self._told(name)] for name in names], names)

    def write(self, columns: Sequence[Sequence[Any]]) -> None:
        """Add rows; see :class:`TableWriter`."""
        told, texts = [], set[str]()
        for (_, kind), cells in zip(self._columns, columns, strict=True):
            told.append([self._told(cell) for cell in cells] if kind == "text" else cells)
            texts.update(told[-1] if kind == "text" else ())
        self._write_lines(told, texts)

    def close(self) -> None:
        """Do nothing: every row has been written."""

    def _told(self, text: str) -> str:
        return text if self._shown is None else self._shown(text)

    def _write_lines(self, columns: Sequence[Sequence[Any]], texts: Iterable[str]) -> None:
        # By itself the library quotes a carriage return only where lines end in one.
        returns = any("\r" in text for text in texts)
        lines = io.StringIO()
        writer = csv.writer(
            lines, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL
        )
        writer.writerows(zip(*columns, strict=True))
        self._stream.write(lines.getvalue().encode())


class ParquetWriter(TableWriter):
    """Texts, 64-bit whole numbers and doubles, unknown cells null, compressed.

    Args:
        stream: Where to.
        columns: What the table has.
        metadata: Texts for the file's own metadata.

    Raises:
        click.ClickException: pyarrow is not installed.
    """

    def __init__(
        self, stream: BinaryIO, columns: Sequence[Column], metadata: Mapping[str, str]
    ) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError as error:
            raise click.ClickException(
                f"Parquet is written by pyarrow, which cannot be imported ({error}): "
                "pip install 'trainmon[parquet]', or export CSV"
            ) from None
        types = {"text": pa.string(), "whole": pa.int64(), "number": pa.float64()}
        fields = [pa.field(column.name, types[column.kind]) for column in columns]
        self._arrow = pa
        self._schema = pa.schema(fields, metadata=dict(metadata))
        self._file = parquet.ParquetWriter(stream, self._schema, compression="zstd")

    def write(self, columns: Sequence[Sequence[Any]]) -> None:
        """Add rows as a row group; see :class:`TableWriter`."""
        arrays = [
            self._arrow.array(_fitting(column, field.type), field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        if len(arrays[0]):
            self._file.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """Write the footer."""
        self._file.close()


def _fitting(column: Sequence[Any], kind: object) -> Sequence[Any]:
    """Return whole numbers as Parquet's signed ones can hold them; other columns as they are."""
    if str(kind) != "int64":
        return column
    return [None if cell is None else min(cell, _MAX_INT64) for cell in column]
