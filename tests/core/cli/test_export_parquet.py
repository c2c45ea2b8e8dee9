"""``trainmon export`` writes Parquet: the same points, of the types that are documented."""

from __future__ import annotations

import math
import struct
import sys

import pytest

VALUES = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, math.nan, math.inf]


def bits(values) -> list[bytes]:
    """Return doubles as they are in memory."""
    return [struct.pack(">d", value) for value in values]


async def test_parquet_has_the_same_doubles(fed, trainmon, scalars, tmp_path):
    """Types are as documented, doubles exact, unknown cells null, and the run is named inside."""
    parquet = pytest.importorskip("pyarrow.parquet")
    session = await fed.session(
        scalars("loss", VALUES),
        scalars("seldom", [1.5], minimums=[1.0], maximums=[2.0], counts=[2]),
        session_name="digits",
    )
    target = tmp_path / "out.parquet"
    done = await trainmon("export", session, "-o", str(target))
    assert done.exit_code == 0, done.output
    read = parquet.read_table(target)
    assert read.schema.names == [
        *("series", "attempt", "step", "time_ms", "value", "minimum", "maximum", "count")
    ]
    assert [str(field.type) for field in read.schema] == [
        *("string", "int64", "int64", "double", "double", "double", "double", "int64")
    ]
    rows = read.to_pylist()
    assert bits(row["value"] for row in rows[:-1]) == bits(VALUES)
    assert {row["count"] for row in rows[:-1]} == {None}
    assert (rows[-1]["minimum"], rows[-1]["maximum"], rows[-1]["count"]) == (1.0, 2.0, 2)
    assert read.schema.metadata[b"trainmon.session_id"] == session.encode()
    assert read.schema.metadata[b"trainmon.session_name"] == b"digits"


@pytest.mark.parametrize("what", ["metrics", "epochs", "commands"])
async def test_parquet_of_nothing_is_a_table_without_rows(fed, trainmon, tmp_path, what):
    """It can be read, and has its columns."""
    parquet = pytest.importorskip("pyarrow.parquet")
    session = await fed.session()
    target = tmp_path / "out"
    options = ("--what", what, "--format", "parquet", "-o", str(target))
    assert (await trainmon("export", session, *options)).exit_code == 0
    read = parquet.read_table(target)
    assert read.num_rows == 0
    assert "attempt" in read.schema.names or "command_id" in read.schema.names


async def test_without_pyarrow_the_command_is_told(fed, trainmon, monkeypatch, tmp_path):
    """It says what to install, and leaves no file."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    session = await fed.session()
    done = await trainmon("export", session, "-o", str(tmp_path / "out.parquet"))
    assert done.exit_code == 1
    assert "pip install 'trainmon[parquet]'" in done.stderr
    assert list(tmp_path.iterdir()) == []
