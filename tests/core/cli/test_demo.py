"""``trainmon demo``: what it refuses before it starts anything, and how it hears its end."""

from __future__ import annotations

import signal
import threading

import pytest
from click.testing import CliRunner

from trainmon.cli import main
from trainmon.cli.signals import terminable
from trainmon.demo.__main__ import main as train


def test_a_log_that_cannot_be_written_is_told(tmp_path, capsys):
    """The file and the reason, as a usage error, by the demo and by its training alone."""
    log = str(tmp_path / "missing" / "losses")
    told = CliRunner().invoke(main, ["demo", "--log", log], prog_name="trainmon")
    assert told.exit_code == 2
    assert told.stdout == ""
    assert f"--log {log} cannot be written: No such file or directory" in told.stderr
    with pytest.raises(SystemExit) as end:
        train(["--log", log, "--epochs", "1"])
    assert end.value.code == 2
    assert f"--log {log} cannot be written: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_a_command_lets_it_tidy_up(number):
    """It comes as Ctrl-C does, inside only; one that is ignored, as nohup has it, stays so."""
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), terminable():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
    signal.signal(number, signal.SIG_IGN)
    try:
        with terminable():
            signal.raise_signal(number)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_thread_that_runs_a_command_sets_no_signals():
    """Only a main thread may; elsewhere the command runs all the same."""
    ran = []

    def run() -> None:
        with terminable():
            ran.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ran == [signal.getsignal(signal.SIGTERM)]
