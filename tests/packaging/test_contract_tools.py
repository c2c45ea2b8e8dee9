"""The contract's tools: what is committed is what is generated, and what is broken is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytestmark = [pytest.mark.packaging, pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ("core/trainmon/v1", "gateway/trainmon_gateway/v1", "web/src/gen")


@pytest.fixture
def copy(tmp_path: Path, node_tools: Path) -> Path:
    """Return a copy of the contract and of the code generated from it, to be spoilt."""
    for name in ("proto", *GENERATED):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "web/node_modules").symlink_to(node_tools.parent)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    """Replace a piece of a file that must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_regenerating_leaves_no_difference(generator, succeed):
    """The committed Python and TypeScript are what proto/ generates now."""
    succeed(generator, "proto/generate.py", "--check")


def test_a_stale_generated_file_is_found(generator, run, copy):
    """A contract that changed without its code fails the check, which names the files."""
    edit(copy / "proto/trainmon/v1/control.proto", "command_id", "command_name")
    done = run(generator, "proto/generate.py", "--check", cwd=copy)
    assert done.returncode == 1
    assert "core/trainmon/v1/control_pb2.py" in done.stdout
    assert "web/src/gen/trainmon/v1/control_pb.ts" in done.stdout


def test_a_generated_file_that_is_left_over_is_found(generator, run, copy):
    """Code of a contract file that is gone fails the check."""
    (copy / "core/trainmon/v1/gone_pb2.py").write_text("")
    done = run(generator, "proto/generate.py", "--check", cwd=copy)
    assert done.returncode == 1
    assert "core/trainmon/v1/gone_pb2.py" in done.stdout


def test_the_contract_passes_its_lint(node_tools, succeed):
    """Names follow the rules, and everything has its comment."""
    succeed(node_tools / "buf", "lint", cwd=ROOT / "proto")


def test_a_field_without_a_comment_fails_the_lint(node_tools, run, copy):
    """The lint demands a comment on every field."""
    edit(copy / "proto/trainmon/v1/telemetry.proto", "message Heartbeat {", "message Heartbeat {\n"
         "  bool bare = 99;")  # fmt: skip
    done = run(node_tools / "buf", "lint", cwd=copy / "proto")
    assert done.returncode != 0
    assert "bare" in done.stdout


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("string format = 2;", "string format = 22;"),
        ("uint32 sequence_number = 2;", "uint64 sequence_number = 2;"),
        ("TRAINING_STATUS_PAUSED = 3;", "TRAINING_STATUS_PAUSED = 33;"),
    ],
    ids=["number", "type", "enum"],
)
def test_breaking_the_contract_is_found(node_tools, run, copy, old, new):
    """A field's number, its type and an enum's value cannot change unnoticed."""
    edit(copy / "proto/trainmon/v1/telemetry.proto", old, new)
    done = run(node_tools / "buf", "breaking", "proto", "--against", ROOT / "proto", cwd=copy)
    assert done.returncode != 0
    assert "telemetry.proto" in done.stdout
