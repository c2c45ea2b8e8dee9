"""``trainmon sync`` with spools as relays leave them, and a real monitor."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trainmon.relay import delivery
from trainmon.relay.entry import RecordKind
from trainmon.relay.handover import Handover
from trainmon.relay.losses import LossCounter
from trainmon.relay.outbox import Outbox
from trainmon.relay.processes import process_began_s
from trainmon.relay.spool import Spool
from trainmon.relay.spool.folder import SavedRun, folders_in
from trainmon.relay.spool.journal import Journal
from trainmon.relay.spool.waiting import abandoned
from trainmon.v1.dashboard_pb2 import (
    ListSessionsRequest,
    QueryMetricsRequest,
    SessionState,
    WatchSessionRequest,
)
from trainmon.v1.telemetry_pb2 import RegisterTrainingSessionRequest, TelemetryRequest

ENDED = Handover(over=True)


@pytest.fixture(scope="module")
def dead() -> int:
    """Return the id of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def leave(scalars, said, dead) -> Callable[..., Path]:
    """Return what leaves a spool of 10 messages of 5 steps each, as a relay that was killed."""

    def write(
        name: str = "left",
        handover: Handover = ENDED,
        *,
        pid: int = dead,
        began_s: float = 1.0,
        messages: int = 10,
        sent: bool = False,
        **fields: str,
    ) -> Path:
        spool = Spool.of(Path(os.environ["TRAINMON_HOME"]), f"producer-{name}", 1 << 20)
        outbox = Outbox(1 << 20, LossCounter(), spool)
        for index in range(messages):
            data = scalars(
                "loss", [float(step) for step in range(index * 5, index * 5 + 5)], index * 5
            )
            outbox.add(RecordKind.SCALARS, TelemetryRequest(metric_data=data))
            outbox.commit(index, Handover().pack)
        if handover.over:
            outbox.add(
                RecordKind.STATUS, TelemetryRequest(status_update=said("COMPLETED")), last=True
            )
            outbox.commit(messages, handover.pack)
        if sent:
            outbox.registered(None)
            outbox.next()
        registration = RegisterTrainingSessionRequest(
            **{
                "run_key": f"key-{name}",
                "producer_id": f"producer-{name}",
                "session_name": name,
                "hostname": socket.gethostname(),
                "pid": pid,
                "sends_metric_data": True,
                **fields,
            }
        )
        spool.keep_run(SavedRun(registration, began_s))
        spool.close()
        return spool.folder

    return write


async def only_session(fed):
    """Return the one session there is."""
    [session] = (await fed.dashboard.ListSessions(ListSessionsRequest())).sessions
    return session


async def steps_of(fed, session_id: str) -> list[float]:
    """Return the steps of the losses in the store."""
    request = QueryMetricsRequest(session_id=session_id, series=["loss"])
    series = (await fed.dashboard.QueryMetrics(request)).series
    return [step for each in series for step in each.steps]


async def snapshot_of(fed, session_id: str):
    """Return a session as it is."""
    async with fed.dashboard.WatchSession.open() as stream:
        await stream.send_message(WatchSessionRequest(session_id=session_id), end=True)
        event = await stream.recv_message()
        await stream.cancel()
    return event.snapshot


async def test_a_run_that_said_goodbye_is_delivered_and_its_spool_removed(fed, trainmon, leave):
    """Every step once, its own end, its own id; a second time nothing is there."""
    folder = leave(session_id="old-session")
    result = await trainmon("sync")
    assert result.exit_code == 0, result.output
    assert "delivered, as session old-session, which the monitor did not know" in result.output
    assert not folder.exists()
    session = await only_session(fed)
    assert session.state == SessionState.SESSION_STATE_COMPLETED
    assert await steps_of(fed, session.session_id) == [*map(float, range(50))]
    again = await trainmon("sync")
    assert again.exit_code == 0
    assert "nothing waits" in again.output


async def test_what_the_monitor_has_already_is_not_doubled(fed, trainmon, leave):
    """A spool that is delivered again, as after a crash of sync itself, changes nothing."""
    leave(sent=True)
    await trainmon("sync")
    leave(sent=True)
    result = await trainmon("sync")
    assert result.exit_code == 0, result.output
    session = await only_session(fed)
    assert await steps_of(fed, session.session_id) == [*map(float, range(50))]


async def test_what_cannot_be_noted_in_the_spool_stays_there_until_it_can(
    fed, trainmon, leave, monkeypatch
):
    """Whoever delivers it after that would not know what was sent: it is said what to do."""
    folder = leave()
    with monkeypatch.context() as full:

        def fails(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(Journal, "mark", fails)
        full.setattr(delivery, "_STALL_S", 0.3)
        result = await trainmon("sync")
    assert result.exit_code == 1
    assert "its folder cannot be written (No space left on device)" in result.output
    assert await steps_of(fed, (await only_session(fed)).session_id) == []
    result = await trainmon("sync")
    assert result.exit_code == 0, result.output
    assert await steps_of(fed, (await only_session(fed)).session_id) == [*map(float, range(50))]
    assert not folder.exists()


async def test_a_run_whose_process_is_gone_is_said_to_have_died(fed, trainmon, leave, dead):
    """It said no goodbye, and its process id is nobody's or another's now."""
    leave("gone", Handover())
    leave("replaced", Handover(), pid=os.getpid(), began_s=1.0)
    result = await trainmon("sync")
    assert result.exit_code == 0, result.output
    sessions = (await fed.dashboard.ListSessions(ListSessionsRequest())).sessions
    assert {each.state for each in sessions} == {SessionState.SESSION_STATE_DIED}
    messages = {each.session_name: each.status_message for each in sessions}
    assert messages["gone"] == f"the training process (pid {dead}) and its relay died"


async def test_a_run_of_another_host_is_delivered_without_a_word_on_its_end(fed, trainmon, leave):
    """Whether its process lives cannot be seen from here."""
    leave("far", Handover(), hostname="another-host")
    result = await trainmon("sync")
    assert result.exit_code == 0, result.output
    session = await only_session(fed)
    assert session.state != SessionState.SESSION_STATE_DIED
    assert len(await steps_of(fed, session.session_id)) == 50


async def test_a_run_whose_process_lives_is_left_to_it(fed, trainmon, leave):
    """It will start another relay, or has just done so."""
    began_s = process_began_s(os.getpid())
    folder = leave("living", Handover(), pid=os.getpid(), began_s=began_s)
    result = await trainmon("sync")
    assert result.exit_code == 0
    assert f"its training (process {os.getpid()}) runs and delivers it" in result.output
    assert folder.exists()
    assert not (await fed.dashboard.ListSessions(ListSessionsRequest())).sessions


@pytest.fixture
def starting() -> Iterator[subprocess.Popen[bytes]]:
    """What looks like the relay of ``starting`` before it has done anything, beside another one."""
    command = [sys.executable, "-c", "input()", "-m", "trainmon.relay", "--run"]
    names = ("producer-starting", "producer-other")
    relays = [subprocess.Popen([*command, name], stdin=subprocess.PIPE) for name in names]
    yield relays[0]
    for relay in relays:
        relay.kill()
        relay.communicate()


async def test_a_run_whose_relay_has_just_been_started_is_left_to_it(
    fed, trainmon, leave, starting
):
    """The training may have gone before its last relay held the lock; that one has the rest."""
    folder = leave("starting", Handover())
    result = await trainmon("sync")
    assert result.exit_code == 0
    assert f"its relay (process {starting.pid}) is about to deliver it" in result.output
    assert not (await fed.dashboard.ListSessions(ListSessionsRequest())).sessions
    starting.kill()
    starting.wait()
    result = await trainmon("sync")
    assert "delivered" in result.output
    assert not folder.exists()


async def test_a_spool_in_use_is_left_alone(fed, trainmon, leave):
    """Its holder is named."""
    folder = leave()
    holder = Spool(folder, 1 << 20)
    result = await trainmon("sync")
    assert result.exit_code == 0
    assert f"being delivered by process {os.getpid()}" in result.output
    holder.close()


async def test_a_dry_run_only_tells(fed, trainmon, leave):
    """What waits where; also without a monitor."""
    folder = leave("waiting\x1b[2J")
    result = await trainmon("sync", "--dry-run", "--monitor", "127.0.0.1:1")
    assert result.exit_code == 0, result.output
    assert "waiting?[2J" in result.output
    assert "11 records" in result.output
    assert str(folder) in result.output
    assert folder.exists()


async def test_a_folder_of_which_nothing_can_be_told_is_reported_and_left(fed, trainmon, leave):
    """The others are delivered; the exit status says that not all was."""
    leave()
    broken = leave("broken")
    (broken / "run").write_bytes(b"nonsense")
    result = await trainmon("sync")
    assert result.exit_code == 1
    assert f"{broken} is left alone" in result.output
    assert "delivered" in result.output
    assert broken.exists()


async def test_a_folder_delivered_meanwhile_is_not_made_again(fed, trainmon, leave, monkeypatch):
    """A spool that its relay, or another sync, removes behind our look is nobody's trouble."""
    folder = leave()
    look = folders_in

    def and_then_it_is_gone(home):
        found = [*look(home)]
        shutil.rmtree(folder)
        return iter(found)

    monkeypatch.setattr("trainmon.relay.spool.folder.folders_in", and_then_it_is_gone)
    result = await trainmon("sync")
    assert result.exit_code == 0, result.output
    assert not folder.exists()


async def test_a_folder_in_which_nothing_ever_was_is_removed(fed, trainmon, leave):
    """A relay killed before its first word, or while it took its folder away, leaves a lock."""
    folder = leave()
    for each in folder.iterdir():
        if each.name != "lock":
            each.unlink()
    result = await trainmon("sync")
    assert result.exit_code == 0, result.output
    assert not folder.exists()


async def test_a_spool_without_its_lock_is_delivered(fed, trainmon, leave):
    """Whoever took the lock away, the records are there."""
    folder = leave()
    (folder / "lock").unlink()
    assert abandoned(Path(os.environ["TRAINMON_HOME"])) == [folder]
    result = await trainmon("sync")
    assert result.exit_code == 0, result.output
    assert "delivered" in result.output
    assert not folder.exists()
    session = await only_session(fed)
    assert await steps_of(fed, session.session_id) == [*map(float, range(50))]


async def test_an_empty_folder_is_removed(fed, trainmon, leave):
    """A relay that is killed while it takes its folder away has its lock away before."""
    folder = leave()
    shutil.rmtree(folder)
    folder.mkdir()
    result = await trainmon("sync")
    assert result.exit_code == 0, result.output
    assert not folder.exists()


async def test_without_a_monitor_it_says_what_to_do(fed, trainmon, leave):
    """Nothing is taken away."""
    folder = leave()
    result = await trainmon("sync", "--monitor", "127.0.0.1:1")
    assert result.exit_code == 1
    assert "no monitor answers at 127.0.0.1:1" in result.output
    assert "trainmon serve" in result.output
    assert folder.exists()


async def test_what_was_refused_is_told_with_the_rest(fed, trainmon, leave):
    """The relay that counted it is gone; the count is not."""
    leave(handover=Handover(over=True, losses={"key_frame/queue_full": 12}))
    result = await trainmon("sync")
    assert result.exit_code == 0, result.output
    session = await only_session(fed)
    losses = (await snapshot_of(fed, session.session_id)).performance_data.losses
    assert [(each.kind, each.reason, each.count) for each in losses] == [
        ("key_frame", "queue_full", 12)
    ]


async def test_a_monitor_that_refuses_the_run_leaves_the_spool(fed, trainmon, leave):
    """Its reason is told; nothing that was accepted vanishes."""
    folder = leave(run_key="x" * 300)
    running = asyncio.create_task(trainmon("sync"))
    result = await running
    assert result.exit_code == 1
    assert "run_key has 300 characters" in result.output
    assert str(folder) in result.output
    assert folder.exists()


async def test_a_spool_without_any_record_is_removed(fed, trainmon, leave):
    """Its relay was killed before it had taken anything; no session is made of it."""
    folder = leave(handover=Handover(), messages=0)
    result = await trainmon("sync")
    assert result.exit_code == 0, result.output
    assert not folder.exists()
    assert not (await fed.dashboard.ListSessions(ListSessionsRequest())).sessions
