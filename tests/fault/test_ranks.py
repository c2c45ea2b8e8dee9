"""Several ranks in real processes over gloo: one step for all, and nobody waits for the dead."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kills.processes import free_port
from kills.settings import SEED
from stack import Stack, eventually, kill, lines
from trainmon.cli.children import Child, trainmon_command
from trainmon.v1.control_pb2 import (
    AdjustLearningRate,
    CommandResult,
    CommandState,
    Evaluate,
    Pause,
    Resume,
    SaveCheckpoint,
    Stop,
)
from viewer import Viewer, viewer

pytest.importorskip("torch", reason="torch is not installed")

pytestmark = pytest.mark.timeout(180)

HERE = Path(__file__).parent
SCRIPT = str(HERE / "ranks_training.py")
FRAMEWORKS = str(HERE / "framework_ranks.py")
LONG = ("--steps", "100000")


class Ranks:
    """Two ranks of a training, and a monitor that shows them."""

    def __init__(self, processes: Stack, folder: Path) -> None:
        self.folder = folder
        self.processes = processes
        self.ranks: list[Child] = []

    def start(self, monitor: str, *options: str, script: str = SCRIPT) -> None:
        """Start both, each by itself."""
        ours = (
            {}
            if script == SCRIPT
            else {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        )
        for rank in ("0", "1"):
            command = [sys.executable, script, str(self.folder), *options]
            told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", **ours}
            told |= {"TRAINMON_MONITOR": monitor, "TRAINMON_RUN_KEY": "one"}
            child = self.processes.start(f"rank{rank}", command, **told)
            child.pass_on(sys.stderr)
            self.ranks.append(child)

    def launch(self, monitor: str, *options: str, script: str = SCRIPT) -> Child:
        """Start both as torchrun does."""
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        command = [sys.executable, *launcher, script, str(self.folder), *options]
        told = {"TRAINMON_MONITOR": monitor, "TRAINMON_RUN_KEY": "one"}
        child = self.processes.start("torchrun", command, **told)
        child.pass_on(sys.stderr)
        return child

    def log(self, rank: int) -> Path:
        """Where a rank writes its steps."""
        return self.folder / f"log-{rank}"

    def rates(self, rank: int) -> list[float]:
        """Return the learning rate of every step."""
        return [float.fromhex(line.split()[1]) for line in self.log(rank).read_text().splitlines()]

    def at_step(self, step: int) -> None:
        """Wait until both have trained so far."""
        for rank in (0, 1):
            eventually(lambda rank=rank: lines(self.log(rank)), f"step {step}", 60, step.__le__)


@pytest.fixture
def ranks(processes: Stack, tmp_path: Path) -> Ranks:
    """Two ranks, not yet started."""
    return Ranks(processes, tmp_path)


def joined(watching: Viewer) -> str:
    """Return the session that both ranks have joined."""
    return watching.session(lambda summary: len(summary.ranks) == 2, 60).session_id


def stop(watching: Viewer, session: str) -> None:
    """Stop the run and wait until it has."""
    watching.send(session, stop=Stop())
    watching.in_state("STOPPED")


def changed_at(rates: list[float]) -> dict[int, float]:
    """Return the steps at which the rate changed, and to what."""
    pairs = pairwise(rates)
    return {step: new for step, (old, new) in enumerate(pairs, start=1) if new != old}


TRAININGS = {
    "group first": (SCRIPT, LONG),
    "session first": (SCRIPT, (*LONG, "--early")),
    "hf": (FRAMEWORKS, ("hf",)),
    "lightning": (FRAMEWORKS, ("lightning",)),
}
_MODULES = {"hf": "transformers", "lightning": "lightning"}


@pytest.fixture
def training(kind: str) -> tuple[str, tuple[str, ...]]:
    """A script that knows nothing of trainmon, or a loop of one's own, and its options."""
    module = _MODULES.get(kind, "torch")
    pytest.importorskip(module, reason=f"{module} is not installed")
    return TRAININGS[kind]


class Commands:
    """Commands at random moments, and what became of them.

    Args:
        watching: Sends them.
        session: To whom.
        chance: Decides which.
        evaluates: Whether the training can save and evaluate.
    """

    def __init__(
        self, watching: Viewer, session: str, chance: random.Random, *, evaluates: bool
    ) -> None:
        self._watching, self._session, self._chance = watching, session, chance
        self._kinds = ["rate", "factor", "pause"] + ["save", "evaluate"] * evaluates
        self._rates: list[str] = []

    def send(self, number: int) -> None:
        """Send one of a random kind; the first are rates, so that there is something to compare."""
        kind = "rate" if number < 2 else self._chance.choice(self._kinds)
        if kind == "rate":
            rate = AdjustLearningRate(learning_rate=1e-3 + number * 1e-5)
            self._rates.append(self._sent(adjust_learning_rate=rate))
        elif kind == "factor":
            rate = AdjustLearningRate(factor=self._chance.uniform(0.9, 1.1))
            self._rates.append(self._sent(adjust_learning_rate=rate))
        elif kind == "pause":
            self._ended(self._sent(pause=Pause()), "APPLIED")
            self._ended(self._sent(resume=Resume()), "APPLIED")
        elif kind == "save":
            self._ended(self._sent(save_checkpoint=SaveCheckpoint()), "APPLIED")
        else:
            self._ended(self._sent(evaluate=Evaluate()), "APPLIED")

    def _sent(self, **action: Any) -> str:
        return self._watching.send(self._session, **action).command.command_id

    def _ended(self, command_id: str, *states: str) -> CommandResult:
        return self._watching.command(self._session, command_id, *states).result

    def rates(self) -> list[CommandResult]:
        """Return what became of the rates, in order, once all have been applied."""
        return [self._ended(each, "APPLIED") for each in self._rates]


@pytest.mark.parametrize("kind", TRAININGS)
def test_ten_commands_at_random_moments(
    ranks: Ranks, kind: str, training: tuple[str, tuple[str, ...]]
) -> None:
    """Under torchrun, the rates in force are the same at every step on both, as was reported."""
    _, address = ranks.processes.monitor()
    script, options = training
    launcher = ranks.launch(address, *options, script=script)
    chance = random.Random(f"{SEED} {kind}")
    with viewer(address) as watching:
        session = joined(watching)
        ranks.at_step(10)
        commands = Commands(watching, session, chance, evaluates=script == FRAMEWORKS)
        for number in range(10):
            commands.send(number)
            ranks.at_step(lines(ranks.log(0)) + chance.randrange(20))
        told = commands.rates()
        ranks.at_step(lines(ranks.log(0)) + 5)
        stop(watching, session)
    assert launcher.wait(60) == 0
    assert ranks.rates(0) == ranks.rates(1)
    changes = changed_at(ranks.rates(0))
    last = {result.applied_at_step: result.applied_value for result in told}
    assert changes == {step: value for step, value in last.items() if step in changes}
    assert len(changes) >= 2


@pytest.mark.parametrize(
    ("launcher", "count"),
    [
        (("torchrun", "--standalone", "--nproc-per-node", "2"), 2),
        (("accelerate", "launch", "--cpu", "--num_processes", "1"), 1),
    ],
    ids=["torchrun", "accelerate"],
)
def test_launchers_under_trainmon_run(ranks: Ranks, launcher: tuple[str, ...], count: int) -> None:
    """As people type it: the page's address first, then one session of all ranks, that obeys."""
    for module in ("transformers", "accelerate"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    _, address = ranks.processes.monitor()
    _, page = ranks.processes.gateway(address)
    command = ["run", "--monitor", address, *launcher, FRAMEWORKS, str(ranks.folder), "hf"]
    child = ranks.processes.start("run", trainmon_command(*command), OMP_NUM_THREADS="1")
    assert child.announced("dashboard") == page
    child.pass_on(sys.stderr)
    with viewer(address) as watching:
        found = watching.session(lambda summary: len(summary.ranks) == count, 90)
        assert found.session_name == "framework_ranks"
        eventually(lambda: lines(ranks.log(0)), "steps", 60, until=lambda steps: steps > 10)
        stop(watching, found.session_id)
    assert child.wait(60) == 0


@pytest.mark.parametrize("kind", ["group first", "hf", "lightning"])
def test_a_pause_outlives_the_groups_timeout(
    ranks: Ranks, training: tuple[str, tuple[str, ...]]
) -> None:
    """A multiple of the group's few seconds: no collective is under way while they wait."""
    _, address = ranks.processes.monitor()
    script, options = training
    ranks.start(address, *options, script=script)
    with viewer(address) as watching:
        session = joined(watching)
        ranks.at_step(10)
        watching.send(session, pause=Pause())
        watching.in_state("PAUSED")
        since = time.monotonic()
        eventually(lambda: time.monotonic() - since, "12 s of pause", until=lambda s: s > 12)
        count = lines(ranks.log(0))
        assert count == lines(ranks.log(1))
        watching.send(session, resume=Resume())
        ranks.at_step(count + 20)
        stop(watching, session)
    assert [each.wait(60) for each in ranks.ranks] == [0, 0]
    assert ranks.rates(0) == ranks.rates(1)


@pytest.mark.parametrize("kind", ["hf", "lightning"])
@pytest.mark.parametrize("dead", [0, 1])
def test_a_framework_leaves_a_pause_in_which_a_rank_was_killed(
    ranks: Ranks, dead: int, training: tuple[str, tuple[str, ...]]
) -> None:
    """The page says that it died; the other leaves, and ends as the framework ends by itself."""
    _, address = ranks.processes.monitor()
    script, options = training
    ranks.start(address, *options, script=script)
    with viewer(address) as watching:
        session = joined(watching)
        ranks.at_step(10)
        watching.send(session, pause=Pause())
        watching.session(lambda summary: _paused(summary) == 2)
        kill(ranks.ranks[dead].pid)
        watching.session(lambda summary: _state(summary, dead) == "DIED")
        # Its next step needs the other's gradients, for which the group waits for some seconds.
        assert ranks.ranks[1 - dead].wait(90) != 0
        shown = watching.session(lambda summary: _state(summary, 1 - dead) in ("FAILED", "DIED"))
    assert shown.session_id == session


@pytest.mark.parametrize("dead", [0, 1])
def test_a_rank_killed_in_a_pause(ranks: Ranks, dead: int) -> None:
    """The page says that it died, and the other leaves the pause, also where the store died too."""
    _, address = ranks.processes.monitor()
    ranks.start(address, *LONG, "--apart")
    with viewer(address) as watching:
        session = joined(watching)
        ranks.at_step(10)
        watching.send(session, pause=Pause())
        watching.session(lambda summary: _paused(summary) == 2)
        count = lines(ranks.log(1 - dead))
        kill(ranks.ranks[dead].pid)
        eventually(lambda: lines(ranks.log(1 - dead)), "more steps", until=lambda n: n > count + 20)
        shown = watching.session(
            lambda summary: (
                _state(summary, dead) == "DIED" and _state(summary, 1 - dead) == "RUNNING"
            )
        )
        refused = watching.send(
            session, adjust_learning_rate=AdjustLearningRate(learning_rate=1e-3)
        )
        record = watching.command(session, refused.command.command_id, "REJECTED")
    assert shown.session_id == session
    assert "may have died" in record.result.message


def _state(summary: object, rank: int) -> str:
    from trainmon.v1.dashboard_pb2 import SessionState

    each = next(each for each in summary.ranks if each.rank == rank)  # type: ignore[attr-defined] # a message
    return SessionState.Name(each.state).removeprefix("SESSION_STATE_")


def _paused(summary: object) -> int:
    return [_state(summary, rank) for rank in (0, 1)].count("PAUSED")


def test_a_rank_that_dies_with_a_proposal_under_way(ranks: Ranks) -> None:
    """A rank that stands still cannot vote; once it is killed the command ends, and none waits."""
    _, address = ranks.processes.monitor()
    ranks.start(address, *LONG, "--apart")
    with viewer(address) as watching:
        session = joined(watching)
        ranks.at_step(10)
        os.kill(ranks.ranks[1].pid, signal.SIGSTOP)
        sent = watching.send(session, adjust_learning_rate=AdjustLearningRate(learning_rate=2e-3))
        count = lines(ranks.log(0))
        eventually(lambda: lines(ranks.log(0)), "more steps", until=lambda n: n > count + 10)
        kill(ranks.ranks[1].pid)
        record = watching.command(session, sent.command.command_id, "REJECTED", "APPLIED")
        assert record.state == CommandState.COMMAND_STATE_REJECTED
        assert "rank 1 has shown no sign of life" in record.result.message
        count = lines(ranks.log(0))
        eventually(lambda: lines(ranks.log(0)), "more steps", until=lambda n: n > count + 50)
    assert set(changed_at(ranks.rates(0))) == set()


def test_losses_are_the_same_to_the_last_bit(
    ranks: Ranks, tmp_path_factory: pytest.TempPathFactory, start: Callable[..., bytes]
) -> None:
    """With the ranks joined, and without trainmon."""
    _, address = ranks.processes.monitor()
    assert start(ranks, address) == start(
        Ranks(ranks.processes, tmp_path_factory.mktemp("alone")), address, "--alone"
    )


@pytest.fixture
def start() -> Callable[..., bytes]:
    """Train 200 steps and return both logs."""

    def train(ranks: Ranks, address: str, *options: str) -> bytes:
        ranks.start(address, "--steps", "200", "--pace", "0.001", *options)
        assert [each.wait(60) for each in ranks.ranks] == [0, 0]
        return ranks.log(0).read_bytes() + ranks.log(1).read_bytes()

    return train
