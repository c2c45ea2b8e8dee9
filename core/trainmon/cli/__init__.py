"""The command ``trainmon``. A subcommand is imported only when it runs."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from typing import Any

import click

import trainmon
from trainmon.errors import ConfigurationError, PluginError, TrainmonError

__all__ = ["OWN", "Commands", "main"]

#: Of each of trainmon's own subcommands: where it is, and its line of help.
OWN = {
    "demo": (
        "trainmon.cli.demo:demo",
        "Train a small network on handwritten digits, and watch and steer it in a browser.",
    ),
    "export": (
        "trainmon.cli.export:export",
        "Write what is kept of a session as CSV or Parquet: every point, exact.",
    ),
    "plugins": ("trainmon.cli.plugins:plugins", "Show every plugin, and what is wrong with it."),
    "run": (
        "trainmon.cli.run:run",
        "Run COMMAND, a script or a launcher, so that it shows in the dashboard, unchanged.",
    ),
    "serve": (
        "trainmon.cli.serve:serve",
        "Run the monitor: trainings report to it, viewers watch through it.",
    ),
    "sessions": (
        "trainmon.cli.sessions:sessions",
        "List the sessions of a monitor, the newest first.",
    ),
    "show": (
        "trainmon.cli.show:show",
        "Show one session: how far it is, its newest scalars, epochs, commands and errors.",
    ),
    "sync": (
        "trainmon.cli.sync:sync",
        "Deliver what earlier runs could not.",
    ),
}


class Commands(click.Group):
    """Trainmon's own subcommands, imported when they run, and those of plugins."""

    _asked = False

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run; what trainmon raises becomes one line: status 2 for a bad setting, else 1."""
        try:
            return super().main(*args, **kwargs)
        except TrainmonError as error:
            if not kwargs.get("standalone_mode", True):
                raise
            click.echo(f"Error: {error}", err=True)
            sys.exit(2 if isinstance(error, ConfigurationError) else 1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every subcommand's name, in order."""
        self._ask_plugins()
        return sorted({*OWN, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one of trainmon's own, or else ask the plugins."""
        if cmd_name in OWN:
            module, _, attribute = OWN[cmd_name][0].partition(":")
            command: click.Command = getattr(import_module(module), attribute)
            return command
        self._ask_plugins()
        return super().get_command(ctx, cmd_name)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a plugin's subcommand.

        Raises:
            PluginError: Its name is taken, or it is no command.
        """
        if not isinstance(cmd, click.Command):
            raise PluginError(f"{cmd!r} is no click command: decorate it with @click.command()")
        name = name or cmd.name
        if name in OWN or name in self.commands:
            raise PluginError(f"the subcommand {name} is taken: give yours another name")
        super().add_command(cmd, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands, importing none of trainmon's own for it."""
        rows = []
        for name in self.list_commands(ctx):
            if name in OWN:
                rows.append((name, OWN[name][1]))
            else:
                command = self.commands[name]
                if not command.hidden:
                    rows.append((name, command.get_short_help_str(formatter.width)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _ask_plugins(self) -> None:
        if not self._asked:
            self._asked = True
            from trainmon.manager import get_manager

            get_manager().cli(self)


@click.group(cls=Commands)
@click.version_option(trainmon.__version__, prog_name="trainmon")
@click.option("--child", is_flag=True, hidden=True, help="Started by another of these commands.")
def main(*, child: bool) -> None:
    """Watch every batch your model sees, in a browser, and steer the run from the same page."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name may have what a terminal has not
        sys.stdout.reconfigure(errors="replace")
    if not child:  # its parent has said it
        from trainmon.cli.spelling import misspelt

        for line in misspelt(os.environ):
            click.echo(f"Warning: {line}", err=True)
