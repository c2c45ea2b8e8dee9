"""The command ``trainmon``: plugins extend it, none can break it, and it starts quickly."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner

import trainmon
from trainmon import cli
from trainmon._guard import QUARANTINE_AFTER
from trainmon.cli import Commands, main
from trainmon.config import Settings
from trainmon.errors import ConfigurationError, HomeLockedError
from trainmon.manager import PluginManager
from trainmon.plugin import hookimpl

MODULE = "from trainmon.plugin import hookimpl\n"
ADDS = MODULE + (
    "import click\n"
    "@hookimpl\n"
    "def trainmon_cli(group):\n"
    "    @group.command({name!r})\n"
    "    def command():\n"
    "        click.echo('the plugin speaks')\n"
)


def group_with(command: click.Command) -> Commands:
    """Return a fresh ``trainmon`` that has met no plugin, with one command more."""
    group = Commands("trainmon")
    group.add_command(command)
    return group


def run(group: click.Group, *arguments: str):
    """Run a group in this process."""
    return CliRunner().invoke(group, list(arguments), prog_name="trainmon")


def loaded_by_help() -> set[str]:
    """Return the modules that a fresh ``trainmon --help`` has loaded at its end."""
    code = (
        "import sys\nfrom trainmon.cli import main\n"
        "main(['--help'], standalone_mode=False)\nprint(*sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    return set(answer.stdout.split())


def test_help_lists_every_subcommand(trainmon_command):
    """Each of trainmon's own subcommands has its line."""
    answer = trainmon_command("--help")
    assert answer.returncode == 0
    for name in cli.OWN:
        assert re.search(rf"^  {name} +\S", answer.stdout, re.MULTILINE)


def test_help_loads_nothing_heavy():
    """The list, those of the installed plugins included, needs no RPC or picture library."""
    heavy = {"grpclib", "grpc", "PIL", "numpy", "google.protobuf", "uvicorn", "sklearn"}
    assert not loaded_by_help() & heavy


def test_help_imports_no_subcommand_of_trainmon(monkeypatch):
    """The lines of help stand in the group, so the modules of the subcommands are not needed."""
    monkeypatch.setenv("TRAINMON_DISABLE_PLUGINS", "gateway")  # it shares helpers with `serve`
    assert not {name for name in loaded_by_help() if name.startswith("trainmon.cli.")}


def test_version(trainmon_command):
    """The version is trainmon's."""
    answer = trainmon_command("--version")
    assert answer.stdout == f"trainmon, version {trainmon.__version__}\n"


def test_the_command_is_installed():
    """The script ``trainmon`` and ``python -m trainmon.cli`` are the same group."""
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="trainmon")
    assert script.load() is main


@pytest.mark.parametrize("name", cli.OWN)
def test_the_lines_of_help_are_those_of_the_subcommands(name):
    """What the list says of a subcommand, unimported, is what the subcommand says of itself."""
    command = main.get_command(click.Context(main), name)
    assert command.name == name
    assert command.get_short_help_str(200) == cli.OWN[name][1]


def test_a_plugin_adds_a_subcommand(acme, trainmon_command):
    """A stranger's subcommand is listed with its help and runs."""
    assert "Say where Acme's diary is." in trainmon_command("--help").stdout
    assert trainmon_command("acme").stdout == "nowhere\n"


def test_a_broken_plugin_breaks_no_command(install, trainmon_command):
    """With plugins that fail at import and in the hook, the others' subcommands run."""
    install("broken", "import no_such_module_here")
    install("raises", MODULE + "@hookimpl\ndef trainmon_cli(group): raise ValueError('boom')")
    install("sound", ADDS.format(name="speak"))
    answer = trainmon_command("speak")
    assert (answer.returncode, answer.stdout) == (0, "the plugin speaks\n")
    assert "plugin broken (broken 1.0) does not run: ModuleNotFoundError" in answer.stderr
    assert "plugin raises (raises 1.0) raised in trainmon_cli: ValueError: boom" in answer.stderr


@pytest.mark.parametrize("name", ["serve", "speak"])
def test_a_taken_name_is_refused(install, trainmon_command, name):
    """No plugin replaces a subcommand of trainmon or of another plugin."""
    install("first", ADDS.format(name="speak"))
    install("second", ADDS.format(name=name))
    answer = trainmon_command("plugins")
    assert answer.returncode == 0
    assert f"trainmon_cli: PluginError: the subcommand {name} is taken" in answer.stdout


def test_what_is_no_command_is_refused():
    """A plugin that adds a plain function is told to decorate it."""
    with pytest.raises(trainmon.TrainmonError, match="decorate it with"):
        Commands("trainmon").add_command(print)


def test_an_unknown_subcommand_is_a_usage_error(trainmon_command):
    """It is named, with status 2."""
    answer = trainmon_command("fly")
    assert answer.returncode == 2
    assert "No such command 'fly'" in answer.stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigurationError("--port", 70000, "a port from 0 to 65535"), 2),
        (HomeLockedError("home", "process 5"), 1),
    ],
)
def test_what_trainmon_raises_becomes_one_line(trainmon_plugins, capsys, error, status):
    """A bad setting ends with status 2, anything else trainmon raises with 1; no traceback."""

    @click.command()
    def command():
        raise error

    with pytest.raises(SystemExit) as end:
        group_with(command).main(["command"])
    assert end.value.code == status
    assert capsys.readouterr() == ("", f"Error: {error}\n")


def test_a_bad_variable_is_one_line(trainmon_command, monkeypatch):
    """A TRAINMON_ variable that cannot be used is named, with status 2."""
    monkeypatch.setenv("TRAINMON_MONITOR", "nonsense")
    for arguments in (["plugins"], ["--help"]):
        answer = trainmon_command(*arguments)
        assert answer.returncode == 2
        assert answer.stderr == (
            "Error: TRAINMON_MONITOR is 'nonsense', "
            "but should be an address such as 127.0.0.1:50051\n"
        )


def test_a_program_that_calls_the_group_gets_the_error(trainmon_plugins):
    """Outside standalone mode errors are raised, as click does with its own."""
    error = ConfigurationError("--port", 70000, "a port from 0 to 65535")

    @click.command()
    def command():
        raise error

    with pytest.raises(ConfigurationError):
        group_with(command).main(["command"], standalone_mode=False)


def test_a_hidden_subcommand_is_not_listed(trainmon_plugins):
    """A plugin's hidden command runs and stays out of the help."""
    group = group_with(click.Command("secret", callback=lambda: None, hidden=True))
    assert "secret" not in run(group, "--help").stdout
    assert run(group, "secret").exit_code == 0


def test_plugins_shows_what_is_installed(acme, trainmon_command):
    """One line each, with state, package and counts."""
    answer = trainmon_command("plugins")
    assert answer.returncode == 0
    assert re.search(r"^PLUGIN +STATE +PACKAGE +HOOKS +FAILURES$", answer.stdout, re.MULTILINE)
    assert re.search(r"^acme +active +acme-tracker 1\.2\.3 +3 +0$", answer.stdout, re.MULTILINE)
    assert answer.stderr == ""


def test_plugins_shows_what_is_wrong(install, trainmon_command):
    """A plugin that does not load is a line with its error, and with --verbose its traceback."""
    install("broken", "import no_such_module_here")
    install("sound", MODULE + "@hookimpl\ndef trainmon_session_started(): pass")
    short = trainmon_command("plugins").stdout
    assert re.search(r"^broken +failed +broken 1\.0 +0 +1$", short, re.MULTILINE)
    assert "broken: ModuleNotFoundError: No module named 'no_such_module_here'" in short
    assert "Traceback" not in short
    long = trainmon_command("plugins", "--verbose").stdout
    assert "  Traceback (most recent call last):" in long
    assert "sound implements trainmon_session_started" in long


def test_plugins_shows_the_disabled(acme, trainmon_command, monkeypatch):
    """A disabled plugin is a line; a name that disables nothing is told."""
    monkeypatch.setenv("TRAINMON_DISABLE_PLUGINS", "acme,nobody")
    answer = trainmon_command("plugins")
    assert re.search(r"^acme +disabled", answer.stdout, re.MULTILINE)
    assert "TRAINMON_DISABLE_PLUGINS names nobody, which is not installed" in answer.stdout
    assert trainmon_command("acme").returncode == 2


def test_plugins_shows_what_failed_in_another_process(
    acme, manager, session, step, trainmon_command
):
    """A stranger's plugin that a relay has put in quarantine is shown as such, until forgotten."""
    manager.discover()
    for _ in range(QUARANTINE_AFTER):
        manager.batch_ended(session, replace(step, loss=float("nan")))

    told = (
        rf"acme in a relay \(process {os.getpid()}, [\d :-]+\): quarantined, failures: 5, "
        r"the newest trainmon_batch_ended: ValueError: cannot track the loss of step 7"
    )
    answer = trainmon_command("plugins", "--verbose")
    assert re.search(told, answer.stdout)
    assert "acme_tracker" in answer.stdout.split("in a relay")[1], "its traceback is shown"

    assert re.fullmatch(
        r"records forgotten: [12]\n", trainmon_command("plugins", "--forget").stdout
    )
    assert "in a relay" not in trainmon_command("plugins").stdout


def test_plugins_does_not_blame_another_version(acme, home, session, step, trainmon_command):
    """What an older version of a plugin did wrong is not shown once a newer one is installed."""
    manager = PluginManager(Settings.from_environment(), "relay", home / "plugins")

    class Old:
        @hookimpl
        def trainmon_batch_ended(self):
            raise ValueError("fixed since")

    manager.register(Old(), "acme", "acme-tracker", "1.2.2")
    manager.batch_ended(session, step)
    assert "fixed since" not in trainmon_command("plugins").stdout


def test_no_plugins_is_said(trainmon_plugins):
    """With nothing installed there is a sentence instead of an empty table."""
    assert run(main, "plugins").stdout == "no plugins are installed\n"
