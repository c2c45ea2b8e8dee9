"""``trainmon run``: the command itself runs, in an environment that shows it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stack import Stack
from trainmon.cli.children import trainmon_command
from trainmon.cli.run import name_of
from viewer import viewer

SAY = """
import os, sys
print(os.getpid(), *sys.argv[1:])
for name in ("MONITOR", "RUN_KEY", "SESSION_NAME"):
    print(os.environ["TRAINMON_" + name])
sys.exit(int(os.environ.get("CODE", 0)))
"""
TRAIN = """
import trainmon
with trainmon.start_session() as session:
    for _ in range(5):
        session.batch_end(loss=1.0)
"""
#: An address that nobody takes for a monitor's of this machine, and that answers nothing.
FAR = "192.0.2.1:50051"

Started = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def started(tmp_path: Path):
    """Return what starts ``trainmon run`` in a folder with a script, with a monitor elsewhere."""
    (tmp_path / "say.py").write_text(SAY)
    processes = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            trainmon_command("run", *arguments),
            cwd=tmp_path,
            env={**os.environ, "TRAINMON_MONITOR": FAR, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


FORMS = {
    "a script": ("say.py",),
    "its interpreter": ("python", "say.py"),
    "a module": ("-m", "say"),
    "an interpreter's module": ("python", "-m", "say"),
    "a program by its path": (sys.executable, "say.py"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_the_command_takes_the_place_of_ours(started: Started, form) -> None:
    """It has our process id, its own arguments, options included, and the environment."""
    process = started(*form, "--epochs", "3", "-m", "x")
    output, _ = process.communicate(timeout=50)
    address, first, monitor, key, name = output.splitlines()
    assert address == f"monitor: {FAR}"
    assert first.split() == [str(process.pid), "--epochs", "3", "-m", "x"]
    assert (monitor, len(key), name) == (FAR, 32, "say")
    assert process.returncode == 0


def test_status_and_options_pass_through(started: Started) -> None:
    """The exit status is the command's; a name, a key and a monitor that are given hold."""
    options = ("--name", "my run", "--monitor", "192.0.2.2:7")
    process = started(*options, "say.py", CODE="3", TRAINMON_RUN_KEY="mine")
    output, _ = process.communicate(timeout=50)
    assert output.splitlines()[2:] == ["192.0.2.2:7", "mine", "my run"]
    assert process.returncode == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_signals_are_the_commands(started: Started, number: signal.Signals) -> None:
    """A signal meets the command, which does with it what it does without trainmon."""
    process = started("sh", "-c", "echo ready; exec sleep 100")
    while process.stdout.readline() != "ready\n":
        assert process.poll() is None
    process.send_signal(number)
    assert process.wait(50) == -number


def test_a_broken_pipe_ends_the_command(started: Started) -> None:
    """The command finds SIGPIPE as a shell leaves it, not ignored as Python has it."""
    process = started("sh", "-c", "yes | head -n 1; echo $?")
    output, errors = process.communicate(timeout=50)
    assert output.splitlines()[-2:] == ["y", "0"]
    assert "roken pipe" not in errors


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (("no-such-launcher",), 127, "no-such-launcher: no such command on the path"),
        (("missing.py",), 127, "missing.py: no such script here"),
        (("./missing",), 127, "./missing: no such command here"),
        (("./say.txt",), 126, "./say.txt cannot be executed"),
        ((), 2, "Missing argument"),
    ],
)
def test_what_cannot_be_run_is_said(started: Started, tmp_path, command, code, words) -> None:
    """The status is that of a shell, and the message names what was asked for."""
    (tmp_path / "say.txt").touch()
    process = started(*command)
    _, errors = process.communicate(timeout=50)
    assert process.returncode == code
    assert words in errors


def test_a_bad_address_is_said_before_anything_starts(started: Started) -> None:
    """A monitor's address that is none ends it: this is not yet the training."""
    process = started("--monitor", "nowhere at all", "say.py")
    output, errors = process.communicate(timeout=50)
    assert (process.returncode, output) == (2, "")
    assert "--monitor is 'nowhere at all'" in errors


@pytest.mark.parametrize(
    ("command", "is_module", "name"),
    [
        (("train.py",), False, "train"),
        (("python", "-u", "/a/fit.v2.py", "other.py"), False, "fit.v2"),
        (("torchrun", "--nproc-per-node", "2", "-m", "package.train"), False, "package.train"),
        (("accelerate", "launch", "run_glue.py"), False, "run_glue"),
        (("package.train", "-m", "x"), True, "package.train"),
        (("/usr/bin/train", "--fast"), False, "train"),
    ],
)
def test_a_run_is_named_for_its_script(command, is_module, name) -> None:
    """Where nobody gives a name, people read that of the script, the module or the program."""
    assert name_of(command, is_module) == name


def test_a_run_is_shown_under_its_name(processes: Stack, tmp_path: Path) -> None:
    """A script with a bare session, run so, is one session of the monitor, by the script's name."""
    _, address = processes.monitor()
    (tmp_path / "digits.py").write_text(TRAIN)
    command = trainmon_command("run", "--monitor", address, str(tmp_path / "digits.py"))
    _, page = processes.gateway(address)
    child = processes.start("run", command, TRAINMON_EXIT_TIMEOUT="20")
    assert child.announced("dashboard") == page
    child.pass_on(sys.stderr)
    assert child.wait(50) == 0
    with viewer(address) as seen:
        assert seen.in_state("COMPLETED").session_name == "digits"
