"""What the documents say is so: their code runs, their commands and links exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATTERNS = ("*.md", "*/README.md", "docs/**/*.md", "plugins/*/README.md")
DOCUMENTS = sorted({path for pattern in PATTERNS for path in ROOT.glob(pattern)})

FENCED = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:trainmon|make) [^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
SHELL = {"sh", "bash", "console"}
#: Documents of a framework, by their name or folder, and the module that they need.
FRAMEWORKS = {"hf-trainer": "transformers", "keras": "keras", "lightning": "lightning"}


class Block(NamedTuple):
    """One fenced piece of code."""

    document: str
    line: int
    language: str
    code: str


def blocks(*languages: str) -> list[Block]:
    """Return the documents' fenced blocks in one of the languages."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for match in FENCED.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(str(path.relative_to(ROOT)), line, match[1], match[2]))
    return [block for block in found if block.language in languages]


def commands(name: str) -> list[tuple[str, list[str]]]:
    """Return (where, words) of every command line of that program in the documents."""
    lines = [
        (f"{block.document}:{block.line}", line.removeprefix("$ "))
        for block in blocks(*SHELL)
        for line in block.code.splitlines()
    ]
    for path in DOCUMENTS:
        prose = FENCED.sub("", path.read_text(encoding="utf-8")).replace("\n", " ")
        lines += [(str(path.relative_to(ROOT)), match[1]) for match in INLINE.finditer(prose)]
    words = [(where, shlex.split(line, comments=True)) for where, line in lines]
    return [(where, each) for where, each in words if each and each[0] == name]


def placed(block: Block) -> str:
    """Name a block by where it is."""
    return f"{block.document}:{block.line}"


def test_the_readme_opens_with_a_screenshot_and_the_two_commands() -> None:
    """The first things in the README are the picture and exactly `make demo` and `make test`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    parts = [part for part in text.split("\n\n") if part]
    assert parts[1].startswith("![")
    assert parts[2] == "```sh\nmake demo\nmake test\n```"


def strictness(document: str) -> tuple[str, ...]:
    """Return how Python is to run a document's blocks; skip where its framework is not there.

    A framework's own warnings are its affair: only elsewhere are they errors.
    """
    for name, module in FRAMEWORKS.items():
        if name in Path(document).parts or f"{name}.md" in document:
            if find_spec(module) is None:
                pytest.skip(f"no {module} found: it is not installed")
            return ()
    return ("-W", "error")


@pytest.mark.timeout(200)  # a framework takes its time to be imported
@pytest.mark.parametrize("block", blocks("python"), ids=placed)
def test_python_in_the_documents_runs(block: Block, tmp_path: Path) -> None:
    """Every Python block runs as it stands, in an empty folder, with no monitor anywhere."""
    strict = strictness(block.document)
    environment = {
        **os.environ,
        "TRAINMON_MONITOR": "127.0.0.1:9",  # the discard port: nobody listens
        "TRAINMON_EXIT_TIMEOUT": "0",
        "TRAINMON_RELAY_LINGER": "0",
    }
    done = subprocess.run(
        [sys.executable, *strict, "-c", block.code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@cache
def help_of(*subcommand: str) -> str:
    """Return what `trainmon SUBCOMMAND --help` says, or fail."""
    command = [sys.executable, "-m", "trainmon.cli", *subcommand, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_trainmon_command_in_the_documents_exists() -> None:
    """Each `trainmon …` that a document names is a subcommand, with the options shown."""
    known = commands("trainmon")
    assert known
    for where, (_, *words) in known:
        subcommand = [] if words[0].startswith("-") else words[:1]
        shown = help_of(*subcommand)
        if len(words) > 1 and re.search(rf"^  {re.escape(words[1])}  ", shown, re.MULTILINE):
            shown = help_of(*words[:2])  # it has subcommands of its own, and this is one
        own = words
        if subcommand == ["run"]:  # what follows the command that is run is that command's
            own = list(takewhile(lambda word: word.startswith("-"), words[1:]))
        options = {word.partition("=")[0] for word in own if word.startswith("--")}
        missing = [option for option in options if option not in shown]
        assert not missing, f"{where} names `trainmon {' '.join(words)}`"


def test_every_make_target_in_the_documents_exists() -> None:
    """Each `make …` that a document names is a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    known = commands("make")
    assert known
    for where, words in known:
        named = {word for word in words[1:] if "=" not in word and not word.startswith("-")}
        assert named <= targets, f"{where} names `{' '.join(words)}`"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(path: Path) -> None:
    """Every relative link and picture of a document is a file of this repository."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    links = [link.partition("#")[0] for link in LINK.findall(text)]
    local = [link for link in links if link and "://" not in link]
    missing = [link for link in local if not (path.parent / link).exists()]
    assert not missing
