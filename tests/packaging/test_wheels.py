"""The wheels: built from what is committed, tried bare in clean environments.

By default in one environment, of the Python that runs the tests; ``make test-pythons`` asks for one
of every Python there is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = [pytest.mark.packaging, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
#: What a training environment must not be given by the core: each is another part's affair.
NOT_OF_THE_CORE = {"grpcio", "sonora", "uvicorn", "aiohttp", "scikit-learn", "torch", "pytest"}
# Read while pytest collects, before the tests' environment hides it.
EVERY_PYTHON = os.environ.get("TRAINMON_PYTHONS") == "all"

#: Modules that say themselves what else they need.
OPTIONAL = ("trainmon.testing", "trainmon.demo.", "trainmon.monitor.store.durable.")

IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
names = [name for _, name, _ in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    if not name.endswith("__main__") and not name.startswith(tuple(sys.argv[2:])):
        importlib.import_module(name)
print(len(names))
"""


def pythons() -> list[str]:
    """Return the interpreters to try the wheels on."""
    if not EVERY_PYTHON:
        return [sys.executable]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = [*os.environ["PATH"].split(os.pathsep), *map(str, pyenv.glob("versions/3.*/bin"))]
    found = [first_that_runs(f"python3.{minor}", folders) for minor in range(10, 15)]
    return [path for path in found if path]


def first_that_runs(name: str, folders: list[str]) -> str | None:
    """Return the first of that name that starts; version managers leave some that do not."""
    paths = [path for folder in folders if (path := shutil.which(name, path=folder))]
    for path in paths:
        if subprocess.run([path, "-c", ""], check=False, capture_output=True).returncode == 0:
            return path
    return None


class Built(NamedTuple):
    """The files of one distribution."""

    wheel: Path
    sdist: Path

    def names_in_wheel(self) -> set[str]:
        """Return the names of the wheel's files."""
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def names_in_sdist(self) -> set[str]:
        """Return the names of the source archive's files, without the folder all are in."""
        with tarfile.open(self.sdist) as archive:
            return {name.partition("/")[2] for name in archive.getnames()}


@pytest.fixture(scope="session")
def build(succeed, tmp_path_factory, isolated_session):
    """Return a function that builds a source archive, and from that a wheel."""

    def build_one(project: Path) -> Built:
        out = tmp_path_factory.mktemp("dist")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PIP_CONSTRAINT", str(CONSTRAINTS))
            succeed(sys.executable, "-m", "build", "--outdir", out, project)
        return Built(next(out.glob("*.whl")), next(out.glob("*.tar.gz")))

    return build_one


@pytest.fixture(scope="session")
def core(build) -> Built:
    """Build the distribution trainmon."""
    return build(ROOT)


@pytest.fixture(scope="session")
def gateway(build) -> Built:
    """Build the distribution trainmon-gateway, dashboard included."""
    return build(ROOT / "gateway")


@pytest.fixture(scope="session")
def plugins(build) -> list[Built]:
    """Build the plugin of each framework."""
    return [build(path.parent) for path in sorted((ROOT / "plugins").glob("*/pyproject.toml"))]


class Environment:
    """A clean virtual environment."""

    def __init__(self, folder: Path, python: str, succeed) -> None:
        self._succeed = succeed
        self.bin = folder / "bin"
        succeed(python, "-m", "venv", folder)
        self.python("-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS, "pip")

    def install(self, *wheels: Path) -> None:
        """Install wheels in the tested versions; nothing is built from source."""
        options = ("--quiet", "--only-binary=:all:", "--constraint", CONSTRAINTS)
        self.python("-m", "pip", "install", *options, *wheels)

    def python(self, *arguments: str | Path) -> str:
        """Run its interpreter, warnings as errors but for pip's, and return the output."""
        strict = () if arguments[:2] == ("-m", "pip") else ("-W", "error")
        return self._succeed(self.bin / "python", *strict, *arguments, cwd=self.bin)

    def trainmon(self, *arguments: str) -> str:
        """Run the command as a user does and return the output."""
        return self._succeed(self.bin / "trainmon", *arguments, cwd=self.bin)

    def distributions(self) -> set[str]:
        """Return the names of what is installed."""
        rows = json.loads(self.python("-m", "pip", "list", "--format", "json"))
        return {row["name"].lower().replace("_", "-") for row in rows}


class Bare(NamedTuple):
    """An environment with the core alone, and what was found before anything else came in."""

    environment: Environment
    distributions: set[str]


@pytest.fixture(scope="module", params=pythons(), ids=lambda path: Path(path).name)
def bare(request, core, succeed, tmp_path_factory) -> Bare:
    """Install the core's wheel alone."""
    environment = Environment(tmp_path_factory.mktemp("bare") / "venv", request.param, succeed)
    environment.install(core.wheel)
    return Bare(environment, environment.distributions())


@pytest.fixture(scope="module")
def plugged(bare, plugins) -> Bare:
    """Install the plugins' wheels beside it, and no framework."""
    bare.environment.install(*(plugin.wheel for plugin in plugins))
    return Bare(bare.environment, bare.environment.distributions())


@pytest.fixture(scope="module")
def complete(plugged, gateway) -> Environment:
    """Install the gateway's wheel beside them."""
    plugged.environment.install(gateway.wheel)
    return plugged.environment


def test_the_cores_wheel_holds_what_it_should(core):
    """Types, license and generated code are in; tests, tools and everything else are not."""
    names = core.names_in_wheel()
    assert {"trainmon/__init__.py", "trainmon/py.typed", "trainmon/v1/telemetry_pb2.py"} <= names
    assert {"trainmon/v1/telemetry_pb2.pyi", "trainmon/v1/dashboard_grpc.py"} <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    folders = {name.partition("/")[0] for name in names}
    assert {name for name in folders if not name.startswith("trainmon-")} <= {
        "trainmon",
        "trainmon.pth",
    }


def test_the_cores_source_archive_holds_no_more_than_the_core(core):
    """Neither tests nor the dashboard's sources nor anybody's notes are in it."""
    names = core.names_in_sdist()
    assert "core/trainmon/py.typed" in names
    files = {".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    others = {name for name in names if not name.startswith("core/trainmon")}
    assert others == files


def test_the_gateways_wheel_holds_the_dashboard(gateway):
    """The built page, its scripts, the types and the services are in."""
    names = gateway.names_in_wheel()
    assert "trainmon_gateway/static/index.html" in names
    assert any(name.endswith(".js") for name in names)
    assert {"trainmon_gateway/py.typed", "trainmon_gateway/v1/dashboard_pb2_grpc.py"} <= names
    assert not [name for name in names if name.startswith("tests") or "node_modules" in name]


def test_the_core_alone_brings_nothing_of_the_other_parts(bare):
    """A training environment gets no grpcio, no web server, no framework."""
    assert "trainmon" in bare.distributions
    assert not bare.distributions & NOT_OF_THE_CORE


def test_the_core_alone_works(bare):
    """Every module imports without a warning, and the command answers."""
    assert int(bare.environment.python("-c", IMPORT_ALL, "trainmon", *OPTIONAL)) > 10
    assert "trainmon, version" in bare.environment.trainmon("--version")
    assert "serve" in bare.environment.trainmon("--help")
    bare.environment.trainmon("plugins")
    bare.environment.python("-m", "pip", "check")


def test_nothing_is_loaded_at_every_start_but_where_asked_for(bare):
    """The wheel's trainmon.pth does nothing without TRAINMON_MONITOR, and little with it."""
    tell = "import os, sys; os.environ.update({!r}); import subprocess; print(subprocess.run(["
    tell += "sys.executable, '-c', 'import sys; print(*sys.modules)'], capture_output=True, "
    tell += "text=True, check=True).stdout)"
    without = bare.environment.python("-c", tell.format({"TRAINMON_MONITOR": ""})).split()
    assert not [name for name in without if name.startswith("trainmon")]
    asked = bare.environment.python("-c", tell.format({"TRAINMON_MONITOR": "127.0.0.1:9"})).split()
    assert "trainmon._autoattach" in asked
    assert "pluggy" not in asked


def test_the_plugins_wheels_hold_what_they_should(plugins):
    """The package with its types and the license are in, tests and tools are not."""
    for plugin in plugins:
        folders = {name.partition("/")[0] for name in plugin.names_in_wheel()}
        (package,) = (name for name in folders if not name.endswith(".dist-info"))
        assert package.startswith("trainmon_")
        assert f"{package}/py.typed" in plugin.names_in_wheel()
        assert any(name.endswith("/licenses/LICENSE") for name in plugin.names_in_wheel())


def test_plugins_bring_no_framework_and_run_without_one(plugged):
    """Beside the core they bring nothing but themselves, and each is active in the list."""
    brought = plugged.distributions
    assert {"trainmon-hf-trainer", "trainmon-keras", "trainmon-lightning"} <= brought
    assert not brought & (NOT_OF_THE_CORE | {"keras", "lightning", "transformers", "tensorflow"})
    rows = plugged.environment.trainmon("plugins").splitlines()
    states = {row.split()[0]: row.split()[1] for row in rows[1:] if row.strip()}
    assert {states[name] for name in ("hf_trainer", "keras", "lightning")} == {"active"}
    plugged.environment.python("-m", "pip", "check")


def test_both_together_work(complete):
    """Beside the gateway's wheel everything imports, and its subcommand is there."""
    assert int(complete.python("-c", IMPORT_ALL, "trainmon_gateway")) > 5
    assert "--port" in complete.trainmon("gateway", "--help")
    assert "gateway" in complete.trainmon("plugins")
    complete.python("-m", "pip", "check")


def test_a_gateway_without_a_dashboard_cannot_be_built(run, tmp_path):
    """With nothing to build the dashboard from, there is no wheel, and the error says why."""
    project = tmp_path / "gateway"
    shutil.copytree(ROOT / "gateway", project, ignore=shutil.ignore_patterns("static"))
    command = (sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", project)
    done = run(*command)
    assert done.returncode != 0
    assert "dashboard" in done.stdout
    assert not list(tmp_path.glob("dist/*.whl"))
