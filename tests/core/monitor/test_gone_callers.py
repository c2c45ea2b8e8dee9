"""Whoever asks may go while the store writes: what is on record takes its course all the same."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager

import pytest

from gated import Gate, GatedStore
from trainmon.config import Settings
from trainmon.monitor.backend import Backend
from trainmon.monitor.clock import Clock
from trainmon.monitor.link import TrainerLink
from trainmon.monitor.refusal import RefusedError
from trainmon.v1.control_pb2 import CommandResult, CommandState, ControlCommand, Pause
from trainmon.v1.telemetry_pb2 import (
    Heartbeat,
    RegisterTrainingSessionRequest,
    StatusUpdate,
    TelemetryRequest,
    TelemetryResponse,
    TrainingStatus,
)

#: Within which an answer would come that is not to come yet, in seconds.
_MOMENT_S = 0.05


class Asked:
    """A monitor with one session, whose training reads what is sent to it."""

    def __init__(self, backend, store):
        self.backend, self.store = backend, store

    async def register(self):
        """Register a run, and open its stream."""
        request = RegisterTrainingSessionRequest(run_key="run", producer_id="p")
        self.id = (await self.backend.register(request)).session_id
        self.session = self.backend.registry.get(self.id)
        self.link = TrainerLink(self.backend.clock, lambda: 0, 3600.0)
        self.backend.link_opened(self.link)
        await self.take(heartbeat=Heartbeat())
        self.sent()

    async def take(self, **payload):
        """Let the monitor take a message of the training."""
        request = TelemetryRequest(session_id=self.id, producer_id="p", **payload)
        await self.backend.take(self.link, request)

    def ask(self):
        """Ask for a pause, always the same one."""
        command = ControlCommand(command_id="pause", pause=Pause())
        return asyncio.create_task(self.backend.submit(self.session, command))

    def sent(self):
        """Return the ids of commands that were written to the training's stream."""
        found = []
        while (data := self.link.take(0.0)) is not None:
            response = TelemetryResponse.FromString(data)
            if response.HasField("command"):
                found.append(response.command.command_id)
        return found

    async def turn(self, *, is_open):
        """Let what is to be written wait, or be written."""
        if is_open:
            self.store.gate.open.set()
            await self.backend.wait_for_store()
        else:
            self.store.gate.open.clear()
            self.store.gate.reached.clear()


@asynccontextmanager
async def asked_of(folder):
    """Give a monitor with one session."""
    store = GatedStore(folder / "history", Gate())
    backend = Backend(Settings.from_environment(), store, Clock())
    await backend.start()
    try:
        asked = Asked(backend, store)
        await asked.register()
        yield asked
    finally:
        store.gate.open.set()
        await backend.wait_for_store()
        await store.close()


async def given_up(asked, task):
    """Let whoever asks reach the store, and go."""
    await asked.store.gate.reached.wait()
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_command_is_sent_though_whoever_gave_it_has_gone(tmp_path):
    """On record and never sent, it would be told of to whoever asks again, and wait for ever."""
    async with asked_of(tmp_path) as asked:
        await asked.turn(is_open=False)
        await given_up(asked, asked.ask())
        assert asked.sent() == []
        await asked.turn(is_open=True)
        assert asked.sent() == ["pause"]


async def test_who_asks_again_hears_of_a_command_when_it_is_on_record(tmp_path):
    """Not before: the monitor could be killed, and know nothing of it."""
    async with asked_of(tmp_path) as asked:
        await asked.turn(is_open=False)
        await given_up(asked, asked.ask())
        again = asked.ask()
        answered, _ = await asyncio.wait({again}, timeout=_MOMENT_S)
        assert not answered
        await asked.turn(is_open=True)
        assert (await again).command.command_id == "pause"
        assert (await asked.ask()).state == CommandState.COMMAND_STATE_RECORDED
        assert asked.sent() == ["pause"]


async def test_all_who_ask_hear_that_a_command_cannot_be_put_on_record(tmp_path):
    """It was not sent, then, and may be given again."""
    async with asked_of(tmp_path) as asked:
        asked.store.full = True
        await asked.turn(is_open=False)
        both = [asked.ask(), asked.ask()]
        await asked.store.gate.reached.wait()
        await asked.turn(is_open=True)
        for task in both:
            with pytest.raises(RefusedError, match="it was not sent"):
                await task
        asked.store.full = False
        await asked.ask()
        await asked.backend.wait_for_store()
        assert asked.sent() == ["pause"]


async def test_a_session_is_forgotten_though_whoever_wished_it_has_gone(tmp_path):
    """Else it would be listed, and the store know nothing of it."""
    async with asked_of(tmp_path) as asked:
        over = StatusUpdate(status=TrainingStatus.TRAINING_STATUS_COMPLETED)
        await asked.take(sequence=1, status_update=over)
        await asked.turn(is_open=False)
        await given_up(asked, asyncio.create_task(asked.backend.delete(asked.session)))
        assert asked.backend.registry.get(asked.id) is asked.session
        await asked.turn(is_open=True)
        assert asked.backend.registry.get(asked.id) is None


async def test_nobody_is_left_to_complain_of_what_nobody_waits_for(tmp_path):
    """A full disk and an impatient caller are no reason for a traceback in the monitor's log."""
    async with asked_of(tmp_path) as asked:
        complaints = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        asked.store.full = True
        await asked.turn(is_open=False)
        await given_up(asked, asked.ask())
        await asked.turn(is_open=True)
        gc.collect()
        assert complaints == []
        assert asked.session.commands.get("pause") is None


async def test_what_was_withdrawn_is_put_on_record_anew(tmp_path):
    """Also by whoever asks at that very moment; a third is answered when that is done."""
    async with asked_of(tmp_path) as asked:
        asked.store.full = True
        await asked.turn(is_open=False)
        first = asked.ask()
        await asked.store.gate.reached.wait()
        withdrawn, withdraw = asyncio.Event(), asked.session.commands.withdraw

        def noticed(record):
            withdraw(record)
            asked.store.full = False
            asked.store.gate.open.clear()
            later.append(asked.ask())
            withdrawn.set()

        later = []
        asked.session.commands.withdraw = noticed
        asked.store.gate.open.set()
        await withdrawn.wait()
        with pytest.raises(RefusedError, match="it was not sent"):
            await first
        later.append(asked.ask())
        answered, _ = await asyncio.wait(later, timeout=_MOMENT_S)
        assert not answered
        await asked.turn(is_open=True)
        assert [(await each).command.command_id for each in later] == ["pause", "pause"]
        assert asked.sent() == ["pause"]


async def test_nothing_is_kept_of_a_session_that_is_being_deleted(tmp_path):
    """It would be listed again when the monitor is started anew."""
    async with asked_of(tmp_path) as asked:
        over = StatusUpdate(status=TrainingStatus.TRAINING_STATUS_COMPLETED)
        await asked.take(sequence=1, status_update=over)
        asked.session.is_on_record = False  # as where the disk was full when it registered
        await asked.turn(is_open=False)
        begun, forget = asyncio.Event(), asked.store.forget

        def forgetting(session_id):
            begun.set()
            return forget(session_id)

        asked.store.forget = forgetting
        deleting = asyncio.create_task(asked.backend.delete(asked.session))
        await begun.wait()
        late = CommandResult(command_id="x", state=CommandState.COMMAND_STATE_APPLIED)
        await asked.take(command_result=late)
        await asked.turn(is_open=True)
        await deleting
        assert [each.summary.session_id for each in await asked.store.sessions()] == []
