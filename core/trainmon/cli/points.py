"""Every point of a session's series, read in pieces that fit in an answer and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np
from grpclib.const import Status

from trainmon.cli.client import RefusedError
from trainmon.cli.tables import Column
from trainmon.v1.dashboard_pb2 import QueryMetricsRequest
from trainmon.v1.telemetry_pb2 import MetricSeries

if TYPE_CHECKING:
    from trainmon.cli.client import Client

__all__ = ["COLUMNS", "Piece", "PointReader", "columns_of"]

#: Points in one answer, about: 2.4 MB of it.
ANSWER_POINTS = 100_000

COLUMNS = (
    Column("series", "text"),
    Column("attempt", "whole"),
    Column("step", "whole"),
    Column("time_ms", "number"),
    Column("value", "number"),
    Column("minimum", "number"),
    Column("maximum", "number"),
    Column("count", "whole"),
)


@dataclass(frozen=True)
class Piece:
    """What one request asks for."""

    names: Sequence[str] = ()
    """Series; empty: all."""
    first_step: int | None = None
    """None: from the beginning."""
    last_step: int | None = None
    """Inclusive. None: to the end."""


class PointReader:
    """Reads the points of a session, by series, then step, then attempt.

    Args:
        client: Asks the monitor.
        session_id: Whose points.
        answer_points: How many points to ask for at once, about.
    """

    def __init__(self, client: Client, session_id: str, answer_points: int = ANSWER_POINTS) -> None:
        self._client = client
        self._session_id = session_id
        self._answer_points = answer_points

    async def counts(self, piece: Piece) -> dict[str, int]:
        """Return how many points each series has in a piece, by name; those with none are not in.

        Raises:
            click.ClickException: The monitor does not answer, or refuses.
        """
        counts: dict[str, int] = {}
        for series in await self._query(piece, max_points=1):
            points = int(sum(series.counts)) if series.counts else len(series.steps)
            counts[series.name] = counts.get(series.name, 0) + points
        return dict(sorted(counts.items()))

    async def read(
        self, counts: Mapping[str, int], whole: Piece
    ) -> AsyncIterator[Sequence[MetricSeries]]:
        """Yield answers that follow one another: no point of a series is before an earlier one.

        Args:
            counts: The series wanted, by :meth:`counts`.
            whole: Its range of steps.

        Raises:
            click.ClickException: The monitor does not answer, or refuses.
        """
        for names in self._batches(counts):
            points = sum(counts[name] for name in names)
            batch = replace(whole, names=names)
            for piece in await self._cut(batch, points):
                async for answer in self._answers(piece):
                    yield answer

    def _batches(self, counts: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
        """Yield names whose points fit in one answer, or one name."""
        names: list[str] = []
        room = self._answer_points
        for name, points in counts.items():
            if names and points > room:
                yield tuple(names)
                names, room = [], self._answer_points
            names.append(name)
            room -= points
        if names:
            yield tuple(names)

    async def _cut(self, piece: Piece, points: int) -> list[Piece]:
        """Cut a piece at steps between which about as many points lie as an answer should have."""
        if points <= self._answer_points:
            return [piece]
        overview = await self._query(piece, max_points=-(-points // self._answer_points))
        return list(_between(piece, _starts(overview)))

    async def _answers(self, piece: Piece) -> AsyncIterator[Sequence[MetricSeries]]:
        """Yield what a piece holds, halved as often as the monitor finds the answer too large."""
        try:
            yield await self._query(piece, max_points=0)
            return
        except RefusedError as error:
            if error.status is not Status.RESOURCE_EXHAUSTED:
                raise
            halves = await self._halves(piece)
            if len(halves) < 2:
                raise
        for half in halves:
            async for answer in self._answers(half):
                yield answer

    async def _halves(self, piece: Piece) -> list[Piece]:
        """Return two pieces with fewer points each; the piece itself where that cannot be."""
        if len(piece.names) > 1:
            middle = len(piece.names) // 2
            return [replace(piece, names=part) for part in _halved(piece.names, middle)]
        starts = _starts(await self._query(piece, max_points=2))
        return list(_between(piece, starts[len(starts) // 2 :][:1]))

    async def _query(self, piece: Piece, max_points: int) -> Sequence[MetricSeries]:
        request = QueryMetricsRequest(
            session_id=self._session_id,
            series=piece.names,
            first_step=piece.first_step,
            last_step=piece.last_step,
            max_points=max_points,
        )
        return (await self._client.metrics(request)).series


def _halved(names: Sequence[str], middle: int) -> tuple[Sequence[str], Sequence[str]]:
    return names[:middle], names[middle:]


def _starts(overview: Sequence[MetricSeries]) -> list[int]:
    """Return the steps at which rows of an overview begin, ascending, but for the first."""
    return sorted({int(step) for series in overview for step in series.steps})[1:]


def _between(piece: Piece, starts: Sequence[int]) -> Iterator[Piece]:
    """Yield a piece cut before each of some ascending steps."""
    edges = [piece.first_step, *starts, None]
    for first, following in pairwise(edges):
        last = piece.last_step if following is None else following - 1
        yield replace(piece, first_step=first, last_step=last)


def columns_of(answer: Sequence[MetricSeries]) -> list[list[object]]:
    """Return an answer's points as :data:`COLUMNS`, by series, then step, then attempt.

    Minimum, maximum and count are None but for rows into which several points were merged.
    """
    columns: list[list[object]] = [[] for _ in COLUMNS]
    by_name = sorted(answer, key=lambda series: series.name)
    for name, group in groupby(by_name, key=lambda series: series.name):
        for column, part in zip(columns, _columns_of_one(name, list(group)), strict=True):
            column.extend(part)
    return columns


def _columns_of_one(name: str, attempts: Sequence[MetricSeries]) -> list[Sequence[object]]:
    """Return the points of one series, all its attempts."""
    sizes = [len(series.steps) for series in attempts]
    numbers = np.repeat([series.attempt for series in attempts], sizes)
    steps = _joined([series.steps for series in attempts])
    order = np.lexsort((numbers, steps))  # stable: doubles stay as they came
    counts = _joined([series.counts or [1] * len(series.steps) for series in attempts])[order]
    lows = _joined([series.minimums or series.values for series in attempts])[order]
    highs = _joined([series.maximums or series.values for series in attempts])[order]
    return [
        [name] * len(order),
        numbers[order].tolist(),
        steps[order].astype(np.int64).tolist(),
        _joined([series.times for series in attempts])[order].tolist(),
        _joined([series.values for series in attempts])[order].tolist(),
        _where_merged(lows.tolist(), counts),
        _where_merged(highs.tolist(), counts),
        _where_merged(counts.astype(np.int64).tolist(), counts),
    ]


def _joined(parts: Sequence[Sequence[float]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    arrays = [np.fromiter(part, np.float64, len(part)) for part in parts]
    return np.concatenate(arrays)


def _where_merged(
    column: list[object], counts: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> list[object]:
    merged = counts > 1
    if not merged.any():
        return [None] * len(column)
    return [each if is_merged else None for each, is_merged in zip(column, merged, strict=True)]
