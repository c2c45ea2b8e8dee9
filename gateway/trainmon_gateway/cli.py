"""``trainmon gateway``, as the hook ``trainmon_cli`` adds it. Imports nothing heavy."""

from __future__ import annotations

import click

from trainmon.cli.serve import is_loopback
from trainmon.plugin import hookimpl

__all__ = ["gateway", "trainmon_cli"]


@hookimpl
def trainmon_cli(group: click.Group) -> None:
    """Add the subcommand."""
    group.add_command(gateway)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--monitor", metavar="HOST:PORT", help="A monitor that runs already.")
@click.option(
    "--monitor-port",
    type=click.IntRange(0, 65535),
    help="Without --monitor one is started, on this port; 0 takes a free one.  [default: 50051]",
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="A further name by which browsers may address the dashboard; may be given repeatedly.",
)
@click.option(
    "--insecure-no-auth",
    is_flag=True,
    help="Allow a --host that others can reach: whoever reaches it controls every training.",
)
def gateway(
    host: str,
    port: int,
    monitor: str | None,
    monitor_port: int | None,
    allow_host: tuple[str, ...],
    *,
    insecure_no_auth: bool,
) -> None:
    """Serve the dashboard, with a monitor unless one is given."""
    host = host.strip("[]")
    if not is_loopback(host) and not insecure_no_auth:
        raise click.UsageError(
            f"--host {host} can be reached by others, and there are no passwords: whoever reaches "
            "it could watch and control every training. Use 127.0.0.1, or add --insecure-no-auth "
            "if you trust that network."
        )
    if monitor is not None and monitor_port is not None:
        raise click.UsageError("--monitor names one that runs, --monitor-port starts one: give one")
    from trainmon_gateway.command import Options, run

    default_port = 50051 if monitor_port is None else monitor_port
    run(Options(host, port, allow_host, monitor, default_port))
