"""The build hook: when it builds, what it keeps, and how it fails. npm is played by a script."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HOOK = Path(__file__).parents[2] / "gateway/hatch_build.py"
NPM = """#!/bin/sh
echo "$@" >> ../npm.log
case "$1" in
  ci) mkdir -p node_modules && touch node_modules/.package-lock.json ;;
  run) [ -e broken ] && exit 3; mkdir -p out && cp page.html out/index.html ;;
esac
"""


@pytest.fixture
def hook(tmp_path, monkeypatch):
    """Return the hook's module, at work in a small repository of its own."""
    spec = importlib.util.spec_from_file_location("hatch_build_of_test", HOOK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    web, static = tmp_path / "web", tmp_path / "gateway/static"
    (web / "src").mkdir(parents=True)
    static.parent.mkdir()
    (web / "package-lock.json").write_text("{}")
    (web / "page.html").write_text("<p>first")
    monkeypatch.setattr(module, "WEB", web)
    monkeypatch.setattr(module, "STATIC", static)
    monkeypatch.setattr(module, "STAMP", static / ".stamp")
    tools = tmp_path / "bin"
    tools.mkdir()
    _script(tools / "npm", NPM)
    _script(tools / "node", "#!/bin/sh\necho v22.1.0\n")
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return module


def _script(path, text):
    path.write_text(text)
    path.chmod(0o755)


def npm_calls(hook):
    """Return what npm was asked to do."""
    log = hook.WEB.parent / "npm.log"
    return log.read_text().splitlines() if log.exists() else []


def test_a_dashboard_is_built_once_and_kept_while_its_sources_are_the_same(hook):
    """The first build installs and builds; the second does nothing."""
    assert hook.ensure_dashboard()
    assert (hook.STATIC / "index.html").read_text() == "<p>first"
    assert not hook.ensure_dashboard()
    assert npm_calls(hook) == ["ci", "run build"]


def test_a_changed_source_is_built_anew(hook):
    """A change of any source file builds again, without installing what is installed."""
    hook.ensure_dashboard()
    (hook.WEB / "page.html").write_text("<p>second")
    assert hook.ensure_dashboard()
    assert (hook.STATIC / "index.html").read_text() == "<p>second"
    assert npm_calls(hook) == ["ci", "run build", "run build"]


def test_a_changed_lock_file_is_installed_anew(hook):
    """A lock file newer than the installation installs again."""
    hook.ensure_dashboard()
    lock = hook.WEB / "package-lock.json"
    lock.write_text("{ }")
    later = (hook.WEB / "node_modules/.package-lock.json").stat().st_mtime + 10
    os.utime(lock, (later, later))
    hook.ensure_dashboard()
    assert npm_calls(hook) == ["ci", "run build", "ci", "run build"]


def test_what_is_made_is_no_source(hook):
    """Installed packages and build outputs do not count as changes."""
    hook.ensure_dashboard()
    before = hook.sources_hash()
    (hook.WEB / ".next").mkdir()
    (hook.WEB / ".next/x").write_text("1")
    (hook.WEB / "tsconfig.tsbuildinfo").write_text("1")
    assert hook.sources_hash() == before
    (hook.WEB / "src/new.ts").write_text("1")
    assert hook.sources_hash() != before


def test_files_of_an_old_build_do_not_stay(hook):
    """A build replaces the folder: what it no longer makes is gone."""
    hook.ensure_dashboard()
    (hook.STATIC / "old.js").write_text("1")
    (hook.WEB / "page.html").write_text("<p>second")
    hook.ensure_dashboard()
    assert sorted(path.name for path in hook.STATIC.iterdir()) == [".stamp", "index.html"]


def test_a_build_that_fails_says_what_to_do_and_keeps_what_was_there(hook):
    """A failing npm fails the build with a message, and leaves the old dashboard alone."""
    hook.ensure_dashboard()
    (hook.WEB / "broken").touch()
    with pytest.raises(hook.DashboardError, match=hook.SKIP):
        hook.ensure_dashboard()
    assert (hook.STATIC / "index.html").read_text() == "<p>first"


def test_a_build_without_a_page_fails(hook):
    """A build that leaves no index.html is no dashboard."""
    with pytest.raises(hook.DashboardError, match=r"index\.html"):
        hook.install(hook.WEB, "0")


def test_without_node_the_packaged_one_is_asked_for(hook, monkeypatch):
    """With no Node.js on the path the build depends on the one from the package index."""
    assert hook.CustomBuildHook.dependencies(None) == []
    monkeypatch.setenv("PATH", "/nowhere")
    assert hook.CustomBuildHook.dependencies(None) == [hook.NODE_PACKAGE]
    monkeypatch.setattr(hook, "find_spec", lambda _: None)
    with pytest.raises(hook.DashboardError, match=r"20\.9"):
        hook.ensure_dashboard()


@pytest.mark.parametrize(
    ("version", "good"), [("v18.19.0", False), ("v20.8.1", False), ("v20.9.0", True), ("?", False)]
)
def test_an_old_node_is_not_used(hook, version, good):
    """A Node.js older than the dashboard's tools take counts as none."""
    _script(hook.WEB.parent / "bin/node", f"#!/bin/sh\necho {version}\n")
    assert (hook.node_on_path() is not None) is good


def test_without_sources_a_built_dashboard_is_enough(hook, tmp_path, monkeypatch):
    """A source distribution carries the built files and is made into a wheel without Node.js."""
    hook.ensure_dashboard()
    monkeypatch.setattr(hook, "WEB", tmp_path / "gone")
    monkeypatch.setenv("PATH", "/nowhere")
    assert hook.CustomBuildHook.dependencies(None) == []
    assert not hook.ensure_dashboard()


def test_with_neither_sources_nor_files_the_build_fails(hook, tmp_path, monkeypatch):
    """Nothing to build from and nothing built: no package is made, and the message says why."""
    monkeypatch.setattr(hook, "WEB", tmp_path / "gone")
    with pytest.raises(hook.DashboardError, match="checkout"):
        hook.ensure_dashboard()


def test_by_hand_it_says_what_it_did(tmp_path):
    """Run as a script where nothing can be built, it ends with 1 and the reason."""
    copy = tmp_path / "gateway/hatch_build.py"
    copy.parent.mkdir()
    copy.write_text(HOOK.read_text())
    done = subprocess.run(
        [sys.executable, str(copy)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "checkout" in done.stderr
    assert "Traceback" not in done.stderr
