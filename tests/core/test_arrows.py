"""Who may import whom: plugins and gateway import trainmon, and nothing points the other way."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "trainmon"
GATEWAY = ROOT / "gateway" / "trainmon_gateway"
PLUGINS = ROOT / "plugins"

FRAMEWORKS = {
    "accelerate",
    "flax",
    "jax",
    "keras",
    "lightning",
    "pytorch_lightning",
    "tensorflow",
    "torch",
    "transformers",
}
RPC = {"grpc", "grpc_health", "grpc_status", "sonora"}
#: Rooms of the core that meet only in channel, wire, events and v1.
ROOMS = ("capture", "relay", "monitor")
#: What the training's process loads.
TRAINER = (
    "__init__.py",
    "_autoattach.py",
    "_discovery.py",
    "adapters",
    "capture",
    "channel",
    "manager.py",
    "session.py",
    "start.py",
)
#: What a stranger's plugin may build on.
PUBLIC = (
    "trainmon.adapters",
    "trainmon.config",
    "trainmon.errors",
    "trainmon.events",
    "trainmon.plugin",
    "trainmon.session",
    "trainmon.start",
)


def sources(folder: Path) -> list[Path]:
    """Return the Python files below a folder that people wrote."""
    return sorted(path for path in folder.rglob("*.py") if "v1" not in path.parts)


@lru_cache
def imports(path: Path, types: bool = True) -> frozenset[str]:
    """Return every module a file imports, at any depth, by its full name.

    Args:
        path: The file.
        types: Whether what is imported only for type checkers counts.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not types:
        tree.body = [node for node in tree.body if not _is_for_types(node)]
    return frozenset(name for node in ast.walk(tree) for name in _imported(node, path))


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _imported(node: ast.AST, path: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{path}: imports are absolute"
        assert node.module
        # `from trainmon import relay` names a module, too.
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def tops(path: Path, types: bool = True) -> set[str]:
    """Return the top-level packages a file imports."""
    return {name.partition(".")[0] for name in imports(path, types)}


def named(path: Path) -> str:
    """Return a file's path as the tree shows it."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sources(CORE), ids=named)
def test_the_core_imports_no_framework_no_grpcio_no_plugin_and_no_gateway(path):
    """Not even inside a function: the core reads arrays of any framework without importing one."""
    found = tops(path)
    assert not found & FRAMEWORKS
    assert not found & RPC
    assert not {name for name in found if name.startswith("trainmon_")}


@pytest.mark.parametrize("room", ROOMS)
def test_the_rooms_do_not_import_each_other(room):
    """Training, relay and monitor are processes of their own and share what they exchange."""
    others = [f"trainmon.{other}" for other in ROOMS if other != room]
    files = sources(CORE / room)
    assert files
    for path in files:
        for name in imports(path):
            assert not name.startswith(tuple(others)), f"{named(path)} imports {name}"


def test_what_a_training_loads_needs_no_transport():
    """In the training there is no event loop, gRPC or picture codec, even inside a function."""
    for entry in TRAINER:
        path = CORE / entry
        for file in sources(path) if path.is_dir() else [path]:
            found = tops(file, types=False)
            assert not found & {"asyncio", "grpclib", "PIL", "click"}, named(file)


def test_only_the_tests_of_plugins_need_pytest():
    """No module but trainmon.testing imports pytest."""
    assert [path.name for path in sources(CORE) if "pytest" in tops(path)] == ["testing.py"]


@pytest.mark.parametrize("path", sources(GATEWAY), ids=named)
def test_the_gateway_imports_no_framework_and_no_plugin(path):
    """The gateway builds on the core alone; sonora is known to one of its modules."""
    found = tops(path)
    assert not found & FRAMEWORKS
    assert not {name for name in found if name.startswith("trainmon_")} - {"trainmon_gateway"}
    assert "sonora" not in found or path.name == "grpc_web.py"


@pytest.mark.parametrize("path", sources(PLUGINS), ids=named)
def test_plugins_import_what_strangers_may(path):
    """A framework's plugin is packaged as a stranger's: it knows what is public, and itself."""
    own = path.relative_to(PLUGINS).parts[1]
    assert not {name for name in tops(path) if name.startswith("trainmon_")} - {own}
    ours = {name for name in imports(path) if name.partition(".")[0] == "trainmon"}
    assert not {name for name in ours if not name.startswith(PUBLIC)} - {"trainmon"}


@pytest.mark.parametrize("folder", sorted(PLUGINS.glob("*/trainmon_*")), ids=named)
def test_a_plugin_is_found_without_its_framework(folder):
    """Its entry point imports, in a fresh interpreter, with the framework installed, without it."""
    code = f"import {folder.name}.plugin, sys\nprint(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    assert not set(answer.stdout.split()) & FRAMEWORKS


HEAVY = FRAMEWORKS | RPC | {"grpclib", "PIL", "asyncio", "click", "sklearn", "numpy.testing"}


@pytest.mark.parametrize(
    "statement", ["import trainmon", "from trainmon import start_session, Session, hookimpl"]
)
def test_importing_trainmon_loads_nothing_heavy(statement):
    """In a fresh interpreter, with every framework installed, none is loaded."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    assert not set(answer.stdout.split()) & HEAVY
