"""Tables of medians, the machine they were measured on, and the page they are published on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

#: Names the page that :func:`publish` writes to; ``make bench`` sets it.
REPORT = "BENCH_REPORT"


def machine(*packages: str) -> str:
    """Return a line that names the machine and the versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}{', ' if versions else ''}{versions}"
    )


def _processor() -> str:
    """Return what the processor calls itself, or what kind it is."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.machine()


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


def publish(name: str, *parts: str) -> None:
    """Print what was measured, and put it on the page that ``BENCH_REPORT`` names, if any.

    Args:
        name: Of the benchmark; its place on the page is between ``<!-- bench NAME: start -->`` and
            ``<!-- bench NAME: end -->``.
        parts: Tables and lines in Markdown.

    Raises:
        ValueError: The page has no such place.
    """
    text = "\n\n".join(parts)
    print(text, flush=True)
    page = os.environ.get(REPORT)
    if page:
        path = Path(page)
        path.write_text(_placed(path.read_text(), name, text))


def _placed(page: str, name: str, text: str) -> str:
    start, end = f"<!-- bench {name}: start -->", f"<!-- bench {name}: end -->"
    before, found, rest = page.partition(start)
    _, found_too, after = rest.partition(end)
    if not (found and found_too):
        raise ValueError(f"the page has no place between {start!r} and {end!r}")
    return f"{before}{start}\n\n{text}\n\n{end}{after}"
