"""``trainmon export``: every point, exact, as CSV or Parquet, and never half a file."""

from __future__ import annotations

import csv
import io
import math
import struct

HEAD = "series,attempt,step,time_ms,value,minimum,maximum,count"
#: Doubles that a careless writer changes.
AWKWARD = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, 123456789.123456789, 1e22, -2.5]


def bits(values) -> list[bytes]:
    """Return doubles as they are in memory, every NaN the same."""
    return [struct.pack(">d", math.nan if value != value else value) for value in values]


def table(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV table."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def test_every_point_comes_back_bit_for_bit(fed, trainmon, scalars):
    """The doubles of a CSV export are those that were sent: awkward, infinite and NaN ones too."""
    values = [*AWKWARD, math.nan, math.inf, -math.inf]
    session = await fed.session(scalars("loss", values))
    done = await trainmon("export", session)
    assert done.exit_code == 0, done.output
    assert done.stdout.partition("\n")[0] == HEAD
    rows = table(done.stdout)
    assert bits(float(row["value"]) for row in rows) == bits(values)
    assert [int(row["step"]) for row in rows] == list(range(len(values)))
    assert [float(row["time_ms"]) for row in rows] == [1.7e12 + step / 2 for step in range(11)]
    assert [row["value"] for row in rows[-3:]] == ["nan", "inf", "-inf"]
    assert {row["count"] for row in rows} == {""}
    assert done.stderr == "11 rows of 1 series\n"
