"""Generate the Python and TypeScript code from the contract.

Run by ``make generate``, in an environment of its own: the generator is pinned old on purpose.
grpcio-tools 1.63.2 writes code for protobuf 5.26, which imports on every runtime from 5.26.1 up
to (not including) 8; a newer generator would force a newer protobuf on training environments.
It has wheels for CPython up to 3.12.

``--check`` writes to a scratch folder instead and fails if the committed code differs.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
FILES = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("trainmon/v1/*.proto"))
SERVICES = [name for name in FILES if "\nservice " in (PROTO / name).read_text()]

PYTHON_OUT = Path("core/trainmon/v1")
GRPC_OUT = Path("gateway/trainmon_gateway/v1")
TYPESCRIPT_OUT = Path("web/src/gen/trainmon/v1")
GENERATED = {
    PYTHON_OUT: ("*_pb2.py", "*_pb2.pyi", "*_grpc.py"),
    GRPC_OUT: ("*_pb2_grpc.py",),
    TYPESCRIPT_OUT: ("*_pb.ts",),
}


def protoc(*arguments: str) -> None:
    """Run the pinned protoc; raises CalledProcessError where it fails."""
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", *arguments]
    # The grpclib plugin is a console script beside this interpreter.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, check=True, env={**os.environ, "PATH": path})


def generate_python(out: Path) -> None:
    """Write messages and grpclib services into the core, grpcio services into the gateway."""
    core, gateway = out / "core", out / GRPC_OUT
    core.mkdir(parents=True, exist_ok=True)
    gateway.mkdir(parents=True, exist_ok=True)
    protoc(f"--python_out={core}", f"--pyi_out={core}", *FILES)
    protoc(f"--grpclib_python_out={core}", *SERVICES)
    with tempfile.TemporaryDirectory() as scratch:
        protoc(f"--grpc_python_out={scratch}", *SERVICES)
        for path in Path(scratch).glob("trainmon/v1/*_pb2_grpc.py"):
            shutil.move(path, gateway / path.name)


def generate_typescript(out: Path) -> None:
    """Write messages and services for the dashboard, with the plugin that npm installed."""
    target = out / "web/src/gen"
    target.mkdir(parents=True, exist_ok=True)
    bin_dir = ROOT / "web/node_modules/.bin"
    plugin = bin_dir / "protoc-gen-es"
    if not plugin.exists():
        raise SystemExit(f"{plugin} is missing: run `npm ci` in web/ first (make generate does)")
    protoc(
        f"--plugin=protoc-gen-es={plugin}",
        f"--es_out={target}",
        "--es_opt=target=ts",
        *FILES,
    )


def names(folder: Path, patterns: tuple[str, ...]) -> set[str]:
    """Return the names of the generated files in a folder."""
    return {path.name for pattern in patterns for path in folder.glob(pattern)}


def differences(fresh: Path) -> list[str]:
    """Return the committed files that are missing, left over or not what is generated now."""
    found = []
    for folder, patterns in GENERATED.items():
        for name in sorted(names(fresh / folder, patterns) | names(ROOT / folder, patterns)):
            new, old = fresh / folder / name, ROOT / folder / name
            same = new.exists() and old.exists() and filecmp.cmp(new, old, shallow=False)
            if not same:
                found.append(str(folder / name))
    return found


def main() -> int:
    """Generate, or with ``--check`` compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) if check else ROOT
        generate_python(out)
        generate_typescript(out)
        changed = differences(out) if check else []
    for name in changed:
        print(f"differs from what proto/ generates: {name} (run `make generate`)", file=sys.stderr)
    return 1 if changed else 0


if __name__ == "__main__":
    raise SystemExit(main())
