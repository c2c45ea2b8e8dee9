"""Fixtures that several areas of the tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import Stack, stack


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Stack]:
    """Give processes that end with the test."""
    with stack(tmp_path / "home") as running:
        yield running
