"""What is committed: sources, and nothing of the machine or the people that wrote them."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES_OF_FILE = 500
MAX_LINES_OF_FUNCTION = 60

BUILT = re.compile(
    r"(^|/)(node_modules|\.next|_next|static|dist|\.venv[^/]*|__pycache__)/|uv\.lock$"
)

GENERATED = re.compile(r"_pb2\.pyi?$|_grpc\.py$|_pb\.ts$")
#: A package index that a lock file, an npmrc or a requirements file names.
REGISTRY = re.compile(
    r'"resolved"\s*:\s*"http|registry\s*=\s*"?http|(index|find-links)(-url)?["\']?\s*[=:]?\s*"?https?:'
)
MACHINE = re.compile(r"(?<![\w.:/-])/(root|work|home/\w+|Users/\w+)/\w")


@pytest.fixture(scope="module")
def committed() -> dict[str, str]:
    """Return the text of every file that git knows, or would with the next `git add`, by path."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no git checkout: what is committed cannot be told")
    texts = {}
    for name in done.stdout.splitlines():
        path = ROOT / name
        if path.is_file() and not (content := path.read_bytes()).count(b"\0"):
            texts[name] = content.decode("utf-8")
    return texts


def lines_that_match(texts: dict[str, str], pattern: re.Pattern[str]) -> list[str]:
    """Return `path:line: text` of every line in which the pattern is found."""
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def hand_written(texts: dict[str, str], *suffixes: str) -> dict[str, str]:
    """Return the files of these kinds that no generator wrote."""
    return {
        name: text
        for name, text in texts.items()
        if name.endswith(suffixes) and not GENERATED.search(name)
    }


def functions(tree: ast.AST) -> Iterator[tuple[str, int, int]]:
    """Yield name, line and length of every function."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1


def test_nothing_built_is_committed(committed):
    """Neither environments nor dependencies nor the built dashboard are in the repository."""
    assert not [name for name in committed if BUILT.search(name)]


def test_no_registry_is_named(committed):
    """No file says which package index it was resolved from: indexes differ, hashes do not."""
    assert not lines_that_match(committed, REGISTRY)


def test_no_path_of_a_machine_is_named(committed):
    """No file holds an absolute path of a machine it was written on."""
    assert not lines_that_match(committed, MACHINE)


def test_files_are_small(committed):
    """No file written by hand has more than 500 lines."""
    sources = hand_written(committed, ".py", ".ts", ".tsx", ".css")
    lengths = {name: len(text.splitlines()) for name, text in sources.items()}
    too_long = {name: length for name, length in lengths.items() if length > MAX_LINES_OF_FILE}
    assert not too_long


def test_functions_are_small(committed):
    """No Python function has more than 60 lines."""
    assert not [
        f"{name}:{line}: {function} has {length} lines"
        for name, text in hand_written(committed, ".py").items()
        for function, line, length in functions(ast.parse(text))
        if length > MAX_LINES_OF_FUNCTION
    ]


def test_the_lock_file_serves_every_platform(committed):
    """Each package for some platform only has its entry, or `npm ci` fails on that platform."""
    packages = json.loads(committed["web/package-lock.json"])["packages"]
    named = {name for entry in packages.values() for name in entry.get("optionalDependencies", {})}
    # A nested copy, under the folder of who needs it, is an entry as well.
    there = {path.rpartition("node_modules/")[2] for path in packages}
    assert named <= there, "these are lost where a registry mirror has not got them: add them back"
