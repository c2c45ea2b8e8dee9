"""constraints.txt: the tested set is whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml"))
OURS = {"trainmon", "trainmon-gateway", *(f"trainmon-{name}" for name in PLUGINS)}


def pinned() -> dict[str, str]:
    """Return the version of each distribution that a row names for this Python."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line and not line.startswith("#")]
    requirements = map(Requirement, rows)
    return {
        canonicalize_name(row.name): str(row.specifier).removeprefix("==")
        for row in requirements
        if row.marker is None or row.marker.evaluate()
    }


def needed(requirement: Requirement, seen: set[str]) -> Iterator[str]:
    """Yield the names of all that an installed requirement brings, itself included."""
    name = canonicalize_name(requirement.name)
    key = f"{name}[{','.join(sorted(requirement.extras))}]"
    if key in seen or not applies(requirement):
        return
    seen.add(key)
    yield name
    for text in distribution(name).requires or []:
        inner = Requirement(text)
        if any(applies(inner, extra) for extra in ("", *requirement.extras)):
            inner.marker = None
            yield from needed(inner, seen)


def applies(requirement: Requirement, extra: str = "") -> bool:
    """Tell whether a requirement holds on this machine."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def groups() -> dict[str, list[str]]:
    """Return the groups of what the tests and checks need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return project["dependency-groups"]


def roots() -> list[Requirement]:
    """Return what `make test` installs."""
    texts = ["trainmon[demo]", *sorted(OURS), *groups()["test"], *groups()["check"]]
    return [Requirement(text) for text in texts]


def test_everything_that_is_installed_has_its_row():
    """Each distribution that the tests and the commands need, directly or not, has a version."""
    try:
        names = {name for root in roots() for name in needed(root, set())}
    except PackageNotFoundError as error:
        pytest.fail(f"{error} is not installed: run `make test` once")
    assert names - OURS <= pinned().keys(), "add the missing rows to constraints.txt"


@pytest.mark.parametrize("framework", groups()["frameworks"])
def test_every_framework_has_its_rows(framework):
    """Each distribution that a framework brings has a version, where the framework is there."""
    try:
        names = set(needed(Requirement(framework), set()))
    except PackageNotFoundError as error:
        pytest.skip(f"no {framework} found: {error} is not installed")
    assert names <= pinned().keys(), "add the missing rows to constraints.txt"


def test_rows_name_exact_versions():
    """Each row is one exact version, or the set would not be the tested one."""
    assert all(version and version[0].isdigit() for version in pinned().values())
