"""Tables of medians, and the machine they were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version


def machine(*packages: str) -> str:
    """Return a line that names the machine and the versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}{', ' if versions else ''}{versions}"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [" | ".join(str(cell) for cell in row) for row in (header, *rows)]
    lines.insert(1, "|".join("---" for _ in header))
    return "\n".join(
        f"| {line} |" if index != 1 else f"|{line}|" for index, line in enumerate(lines)
    )


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value below which that part (0 to 1) of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
