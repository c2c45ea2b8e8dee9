"""How the series of a session stand: the newest value of each, and its extremes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainmon.v1.dashboard_pb2 import QueryMetricsRequest
from trainmon.v1.telemetry_pb2 import MetricSeries

if TYPE_CHECKING:
    from trainmon.cli.client import Client

__all__ = ["Standing", "standings"]

#: Rows asked for of every series, and of one whose last row is still several points.
_ROWS, _MORE_ROWS = 16, 2048


@dataclass(frozen=True)
class Standing:
    """How one series stands, in one attempt."""

    name: str
    attempt: int
    points: int
    """How many values it has."""
    step: int
    """Global step of the newest."""
    value: float
    """The newest."""
    minimum: float | None
    """Least finite value; None where there is none."""
    maximum: float | None
    """Greatest finite value; None where there is none."""


async def standings(client: Client, session_id: str, limit: int) -> tuple[list[Standing], int]:
    """Return how series stand, by name, then attempt, and how many there are.

    Args:
        client: Asks the monitor.
        session_id: Whose.
        limit: At most so many, the first by name.

    Raises:
        click.ClickException: The monitor does not answer, or refuses.
    """
    overview = await _query(client, session_id, max_points=_ROWS)
    return [await _standing(client, session_id, each) for each in overview[:limit]], len(overview)


async def _standing(client: Client, session_id: str, series: MetricSeries) -> Standing:
    lows = [low for low in series.minimums or series.values if math.isfinite(low)]
    highs = [high for high in series.maximums or series.values if math.isfinite(high)]
    step, value = await _newest(client, session_id, series)
    return Standing(
        name=series.name,
        attempt=series.attempt,
        points=sum(series.counts) if series.counts else len(series.steps),
        step=step,
        value=value,
        minimum=min(lows, default=None),
        maximum=max(highs, default=None),
    )


async def _newest(client: Client, session_id: str, series: MetricSeries) -> tuple[int, float]:
    """Return the step and value of a series' last point, looking closer at its last row.

    Of points that the store has merged for good, it is their first step and their mean.
    """
    while series.counts and series.counts[-1] > 1:
        answer = await _query(
            client,
            session_id,
            series=[series.name],
            first_step=int(series.steps[-1]),
            max_points=_MORE_ROWS,
        )
        closer = next((each for each in answer if each.attempt == series.attempt), None)
        if closer is None:
            break
        was, series = series, closer
        if len(series.steps) < _MORE_ROWS or series.steps[-1] <= was.steps[-1]:
            break
    return int(series.steps[-1]), series.values[-1]


async def _query(
    client: Client,
    session_id: str,
    *,
    series: Sequence[str] = (),
    first_step: int | None = None,
    max_points: int,
) -> list[MetricSeries]:
    request = QueryMetricsRequest(
        session_id=session_id, series=series, first_step=first_step, max_points=max_points
    )
    return [each for each in (await client.metrics(request)).series if each.steps]
