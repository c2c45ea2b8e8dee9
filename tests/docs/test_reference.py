"""The pages say what the code says: every hook, every setting, every example."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from trainmon.config import Settings
from trainmon.manager import HOOKS, PluginState

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The script that writes the generated parts."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["commands", "loop", "hooks", "settings"])
def test_generated_parts_are_fresh(generator, name):
    """What docs/generate.py would write is what the page has."""
    page, content = generator.REGIONS[name]
    text = (DOCS / page).read_text(encoding="utf-8")
    assert text == generator.filled(text, name, content()), "run docs/generate.py"


def test_a_page_without_the_region_is_refused(generator):
    """A region that was renamed or left open is an error, not a page without a reference."""
    for text in ("", "<!-- hooks: start -->"):
        with pytest.raises(ValueError, match="no region"):
            generator.filled(text, "hooks", "content")


def test_every_hook_is_documented_with_its_exact_arguments():
    """Each hook has a section whose title is its signature, and there is no other."""
    text = (DOCS / "plugins.md").read_text(encoding="utf-8")
    titles = re.findall(r"^### `(.+?)`", text, re.MULTILINE)
    assert set(titles) == {f"{name}({', '.join(args)})" for name, args in HOOKS.items()}
    assert len(titles) == len(HOOKS)


def test_every_state_of_a_plugin_is_explained():
    """The table of states has a row for each, in the order of their declaration."""
    text = (DOCS / "plugins.md").read_text(encoding="utf-8")
    table = text.split("| state | meaning |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (\w+) \|", table, re.MULTILINE)
    assert rows == [state.value for state in PluginState]


def test_every_setting_is_documented_with_its_default():
    """The table of settings is that of the code, row by row."""
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(TRAINMON_\w+)` \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    expected = [(name, default.strip("`") or "–", doc) for name, default, doc in Settings.table()]
    assert [(name, default.strip("`"), doc) for name, default, doc in rows] == expected


def test_every_command_has_its_example(generator):
    """The page's first block has a line for each command, and its groups' commands."""
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    examples = text.split("```")[1].splitlines()
    names = [name for name, _ in generator.subcommands()]
    assert "trainmon sessions prune" in names
    assert not [
        name for name in names if not any(f"{each} ".startswith(f"{name} ") for each in examples)
    ]


def test_the_example_and_its_test_work(trainmon_plugins, capsys, tmp_path, monkeypatch):
    """The plugin of the page is installed, and the page's test of it passes."""
    text = (DOCS / "plugins.md").read_text(encoding="utf-8")
    plugin, _, test = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "acme_alarm.py").write_text(plugin, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    namespace: dict[str, object] = {}
    exec(test, namespace)  # noqa: S102 - our own page
    namespace["test_alarm"](trainmon_plugins, capsys)
