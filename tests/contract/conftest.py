"""The drivers of the contract suite."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from contract_trainings import DRIVERS


@pytest.fixture(scope="module", params=sorted(path.stem for path in DRIVERS.glob("*.py")))
def driver(request: pytest.FixtureRequest) -> ModuleType:
    """The driver of each adapter whose framework is there; the others are skipped, loudly."""
    module = _load(DRIVERS / f"{request.param}.py")
    for name in module.NEEDS:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"no {module.PART} found: {name} is not installed")
    return module


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"contract_driver_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
