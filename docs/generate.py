"""Writes into docs/ what the code knows better: hooks, settings, and the command line.

Run it with the environment in which trainmon is installed; ``--check`` writes nothing and fails
where something would change. ``<!-- NAME: start -->`` and ``<!-- NAME: end -->`` bound a region.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from trainmon import hookspecs
from trainmon.cli import OWN
from trainmon.cli import main as trainmon
from trainmon.config import Settings
from trainmon.manager import HOOKS
from trainmon_gateway.cli import gateway

DOCS = Path(__file__).parent


def loop() -> str:
    """Return the life of a run with every hook at its place, as the contract's docstring has it."""
    text = inspect.getdoc(hookspecs) or ""
    indented = text.split("::\n", 1)[1].split("\nRules.", 1)[0]
    return f"```text\n{inspect.cleandoc(indented)}\n```"


def hooks() -> str:
    """Return a section for each hook, in the order of the contract."""
    return "\n\n".join(_hook(name) for name in vars(hookspecs) if name in HOOKS)


def settings() -> str:
    """Return the table of settings."""
    rows = [
        f"| `{name}` | {_default(default)} | {text} |" for name, default, text in Settings.table()
    ]
    return "\n".join(["| variable | default | what it sets |", "|---|---|---|", *rows])


def commands() -> str:
    """Return a section for each subcommand, those of groups after their group."""
    return "\n\n".join(_command(path, command) for path, command in subcommands())


def subcommands() -> Iterator[tuple[str, click.Command]]:
    """Yield trainmon's subcommands and the gateway's, with the words that name each.

    No plugin is asked: what is installed beside trainmon has no place on its page.
    """
    root = click.Context(trainmon, info_name="trainmon")
    found = {name: trainmon.get_command(root, name) for name in OWN} | {"gateway": gateway}
    for name, command in sorted(found.items()):
        if command is not None:
            yield f"trainmon {name}", command
        if isinstance(command, click.Group):
            inner = click.Context(command, root, info_name=name)
            for below in command.list_commands(inner):
                if sub := command.get_command(inner, below):
                    yield f"trainmon {name} {below}", sub


REGIONS: dict[str, tuple[str, Callable[[], str]]] = {
    "commands": ("cli.md", commands),
    "loop": ("plugins.md", loop),
    "hooks": ("plugins.md", hooks),
    "settings": ("settings.md", settings),
}


def _command(path: str, command: click.Command) -> str:
    """Return a subcommand's section: how it is called, what it does, its options."""
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    help_text = inspect.cleandoc(command.help or "")
    lines = [f"### {path}", "", f"`{usage}`", "", help_text, ""]
    options = [each for each in command.params if isinstance(each, click.Option)]
    records = [option.get_help_record(context) for option in options]
    rows = [f"| `{_cell(record[0])}` | {_cell(record[1])} |" for record in records if record]
    if rows:
        lines += ["| option | what it does |", "|---|---|", *rows, ""]
    if command.epilog:
        lines += [inspect.cleandoc(command.epilog), ""]
    return "\n".join(lines).rstrip()


def _cell(text: str) -> str:
    """Return a text as a cell of a table may hold it."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")


def _default(text: str) -> str:
    if not text:
        return "–"
    return text if " " in text else f"`{text}`"


def _hook(name: str) -> str:
    spec = getattr(hookspecs, name)
    doc = inspect.getdoc(spec) or ""
    first = " (the first answer wins)" if spec.trainmon_spec["firstresult"] else ""
    title = f"### `{name}({', '.join(HOOKS[name])})`{first}"
    return "\n".join(
        [title, "", *_markdown(doc.replace("``", "`").splitlines(), spec.__annotations__)]
    )


def _markdown(lines: list[str], types: dict[str, str]) -> Iterator[str]:
    """Turn the sections of a docstring into paragraphs and lists, with the types."""
    for line in lines:
        if line == "Args:":
            continue
        if line == "Returns:":
            yield f"Returns `{types['return']}`:"
        elif match := re.match(r" {4}(\w+): (.*)", line):
            yield f"- `{match[1]}` (`{types[match[1]]}`): {match[2]}"
        elif line.startswith(" "):
            yield f"  {line.strip()}" if line.startswith(" " * 8) else line.strip()
        else:
            yield line


def filled(text: str, name: str, content: str) -> str:
    """Return a page with one region's content in place of what it had.

    Raises:
        ValueError: The page has no such region.
    """
    start, end = f"<!-- {name}: start -->", f"<!-- {name}: end -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no region between {start} and {end}")
    return f"{before}{start}\n\n{content}\n\n{end}{after}"


def main() -> int:
    """Write every region; return 1 where ``--check`` finds one that differs."""
    check = "--check" in sys.argv[1:]
    stale = []
    for name, (page, content) in REGIONS.items():
        path = DOCS / page
        old = path.read_text(encoding="utf-8")
        new = filled(old, name, content())
        if new != old:
            stale.append(f"docs/{page} ({name})")
            if not check:
                path.write_text(new, encoding="utf-8")
    if stale:
        print(f"{'stale' if check else 'written'}: {', '.join(stale)}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
