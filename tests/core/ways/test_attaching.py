"""A script that knows nothing of trainmon: who attaches to it, and what it pays."""

from __future__ import annotations

import copy
import importlib
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

import pytest

from trainmon import _autoattach
from trainmon._autoattach import Watcher
from trainmon.config import Settings
from trainmon.manager import PluginManager

LOADED = "\nimport sys; print(*sorted(sys.modules))"
HEAVY = {"pluggy", "google.protobuf", "numpy", "grpclib", "asyncio", "click"}


def test_a_plugin_attaches_once_its_framework_is_imported(script) -> None:
    """With the variable set, the import of the module that the plugin names attaches it, once."""
    text = "import acme; from acme import trainer; import acme.trainer; print(trainer.attached)"
    ran = script(text)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "1\n", "")


@pytest.mark.parametrize("monitor", ["", None], ids=["empty", "unset"])
def test_without_the_variable_nothing_is_loaded(script, monitor) -> None:
    """No module of trainmon is imported, and the plugin is not asked."""
    environment = {} if monitor is None else {"TRAINMON_MONITOR": ""}
    ran = script(
        "from acme import trainer; print(trainer.attached)" + LOADED, monitor="", **environment
    )
    attached, loaded = ran.stdout.splitlines()
    assert attached == "0"
    assert not [name for name in loaded.split() if name.startswith("trainmon")]


def test_a_process_that_imports_no_framework_pays_next_to_nothing(script) -> None:
    """Python alone loads one small module; another library brings the search, and no plugin."""
    bare = set(script(LOADED).stdout.split())
    assert "trainmon._autoattach" in bare
    assert not bare & (HEAVY | {"importlib.metadata", "logging", "trainmon._discovery"})
    other = set(script("import acme" + LOADED).stdout.split())
    assert "trainmon._discovery" in other
    assert not other & (HEAVY | {"acme_plugin", "trainmon.config"})


def test_a_disabled_plugin_is_not_even_imported(script) -> None:
    """TRAINMON_DISABLE_PLUGINS holds here too."""
    text = "from acme import trainer; print(trainer.attached)" + LOADED
    ran = script(text, TRAINMON_DISABLE_PLUGINS="other, acme")
    attached, loaded = ran.stdout.splitlines()
    assert attached == "0"
    assert not set(loaded.split()) & {"acme_plugin", "pluggy"}


BROKEN = {
    "cannot be imported": "raise RuntimeError('half broken')",
    "is gone": None,
    "is no Python": "def (",
    "raises": "from trainmon.plugin import hookimpl\n@hookimpl\ndef trainmon_instrument(): 1 / 0",
    "has a hook there is not": "from trainmon.plugin import hookimpl\n"
    "@hookimpl\ndef trainmon_attach(): pass",
}


@pytest.mark.parametrize("source", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_plugin_costs_one_line(script, site: Path, source) -> None:
    """The framework is imported as ever, the script goes on, and the log has one line."""
    plugin = site / "acme_plugin.py"
    plugin.unlink()
    if source is not None:
        plugin.write_text(source)
    ran = script("from acme import trainer; print(trainer.state)")
    assert (ran.returncode, ran.stdout) == (0, "imported\n")
    assert len(ran.stderr.splitlines()) == 1
    assert "acme" in ran.stderr


def test_a_bad_setting_costs_one_line(script) -> None:
    """An address that is none is said, and the script goes on."""
    ran = script("from acme import trainer; print(trainer.state)", monitor="nowhere at all")
    assert (ran.returncode, ran.stdout) == (0, "imported\n")
    assert len(ran.stderr.splitlines()) == 1
    assert "TRAINMON_MONITOR" in ran.stderr


def test_a_framework_that_fails_to_import_fails_as_ever(script, site: Path) -> None:
    """Its own error is raised, and an import that succeeds later attaches."""
    (site / "acme" / "trainer.py").write_text(
        "import os\nif 'BAD' in os.environ: raise ImportError('no libacme')\nattached = 0\n"
    )
    text = (
        "import os; os.environ['BAD'] = ''\n"
        "try:\n    import acme.trainer\nexcept ImportError as error:\n    print(error)\n"
        "del os.environ['BAD']\nfrom acme import trainer; print(trainer.attached)"
    )
    assert script(text).stdout == "no libacme\n1\n"


def test_looking_for_a_framework_does_not_import_it(script) -> None:
    """`find_spec` says where it is, and attaches nothing."""
    text = (
        "from importlib.util import find_spec\nprint(find_spec('acme.trainer').origin)\n"
        "import sys; print('acme.trainer' in sys.modules, 'pluggy' in sys.modules)"
    )
    origin, loaded = script(text).stdout.splitlines()
    assert origin.endswith("trainer.py")
    assert loaded == "False False"


def test_the_module_bears_no_trace(script) -> None:
    """Loader and spec are what they are without trainmon, so that its source can be read."""
    text = (
        "import inspect; from acme import trainer\n"
        "print(type(trainer.__loader__).__name__, type(trainer.__spec__.loader).__name__)\n"
        "print(inspect.getsource(trainer).split()[0])"
    )
    assert script(text).stdout.split() == ["SourceFileLoader", "SourceFileLoader", "state"]


def test_a_framework_is_run_as_a_script(script, site: Path) -> None:
    """`python -m` of a module that is waited for runs it, once."""
    (site / "acme" / "trainer.py").write_text("print(__name__)\n")
    text = "import runpy; runpy.run_module('acme.trainer', run_name='__main__')"
    ran = script(text)
    assert (ran.stdout, ran.stderr) == ("__main__\n", "")


# --- the watcher itself ---------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module that can be imported."""
    name = "trainmon_test_watched"
    (tmp_path / f"{name}.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


def watch(monkeypatch: pytest.MonkeyPatch, name: str, *others: object) -> list[str]:
    """Put a watcher for a module first; return what it tells."""
    told: list[str] = []
    watcher = Watcher(lambda: {name: ["plugin"]}, lambda module, _: told.append(module))
    monkeypatch.setattr(sys, "meta_path", [watcher, *others, *sys.meta_path])
    return told


def test_a_reload_attaches_nothing_more(monkeypatch, module) -> None:
    """A module that is loaded again is told of once."""
    told = watch(monkeypatch, module)
    importlib.reload(importlib.import_module(module))
    assert told == [module]


def test_another_finder_that_asks_everyone_again(monkeypatch, module) -> None:
    """Hooks of other libraries ask all finders in turn: that ends, and is told of once."""

    class Other:
        busy = False

        def find_spec(self, name: str, path: object = None, target: object = None):
            if self.busy:
                return None
            self.busy = True
            try:
                return importlib.util.find_spec(name)
            finally:
                self.busy = False

    told = watch(monkeypatch, module, Other())
    assert importlib.import_module(module).x == 1
    assert told == [module]


def test_old_finders_and_modules_without_a_loader(monkeypatch, tmp_path) -> None:
    """A finder without `find_spec` is passed over; a namespace package imports as ever."""
    (tmp_path / "trainmon_test_space").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    watch(monkeypatch, "trainmon_test_space", object())
    try:
        assert importlib.import_module("trainmon_test_space").__spec__.origin is None
    finally:
        sys.modules.pop("trainmon_test_space", None)


def test_threads_that_import_at_once(monkeypatch, module) -> None:
    """However many threads import it, it is told of once."""
    told, gate = watch(monkeypatch, module), threading.Barrier(8)

    def load() -> None:
        gate.wait()
        importlib.import_module(module)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [module]


def test_threads_that_import_during_the_search(monkeypatch, module) -> None:
    """An import in another thread waits until it is known who waits for what."""
    searching, importing = threading.Event(), threading.Event()
    told: list[str] = []

    def search() -> dict[str, list[str]]:
        searching.set()
        assert importing.wait(30)
        return {module: ["plugin"]}

    watcher = Watcher(search, lambda name, _: told.append(name))
    monkeypatch.setattr(sys, "meta_path", [watcher, *sys.meta_path])
    first = threading.Thread(target=importlib.util.find_spec, args=("no_such_library",))
    first.start()
    assert searching.wait(30)
    second = threading.Thread(target=importlib.import_module, args=(module,))
    second.start()
    importing.set()
    first.join()
    second.join()
    assert told == [module]


def test_a_spec_that_waits_can_be_copied(monkeypatch, module) -> None:
    """Whoever copies what `find_spec` answers gets a copy that still loads, and tells."""
    told = watch(monkeypatch, module)
    spec = copy.copy(importlib.util.find_spec(module))
    spec.loader = copy.copy(spec.loader)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    assert (loaded.x, told) == (1, [module])


def test_a_loader_of_an_older_kind_is_left_alone(monkeypatch) -> None:
    """One that has no `exec_module` loads as it would without us, whatever that means."""
    old = ModuleSpec("trainmon_test_old", object())

    class Finder:
        def find_spec(self, name: str, path: object = None, target: object = None):
            return old if name == old.name else None

    watch(monkeypatch, old.name, Finder())
    assert importlib.util.find_spec(old.name).loader is old.loader


def test_what_fails_inside_is_said_and_the_import_goes_on(monkeypatch, module, caplog) -> None:
    """Neither a search nor an attachment that raises reaches the import."""

    def fails(*_: object) -> None:
        raise RuntimeError("inside")

    for watcher in (Watcher(fails, fails), Watcher(lambda: {module: ["plugin"]}, fails)):
        monkeypatch.setattr(sys, "meta_path", [watcher, *sys.meta_path])
        sys.modules.pop(module, None)
        assert importlib.import_module(module).x == 1
    assert caplog.text.count("RuntimeError: inside (training goes on)") == 2


def test_trainmons_own_processes_are_left_alone(monkeypatch) -> None:
    """Where a plugin imports a framework in a relay, nothing attaches."""
    manager = PluginManager(Settings.from_environment(), "relay")
    monkeypatch.setattr("trainmon.manager.get_manager", lambda role: manager)
    _autoattach.attach("acme", ["acme"])
    assert not manager.rows()


def test_it_watches_once(monkeypatch) -> None:
    """Installed again, there is still one watcher, and it is asked first."""
    monkeypatch.setattr(sys, "meta_path", [PathFinder])
    _autoattach.install()
    _autoattach.install()
    assert [type(each) for each in sys.meta_path] == [Watcher, type]
    assert isinstance(sys.meta_path[0].find_spec("json"), ModuleSpec | None)
