"""The link of the whole relay: a real process on a real channel, a real gRPC stream."""

from __future__ import annotations

import asyncio
import signal
import socket

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from trainmon.channel import EXIT_FINAL, Kind, Real, Word
from trainmon.v1.telemetry_pb2 import (
    ErrorCode,
    ErrorResponse,
    TelemetryResponse,
)

# --- losing and finding the link ------------------------------------------------------------------


async def test_a_monitor_that_falls_silent_is_left_and_found_again(monitor, linked):
    """A stream that stands but says nothing is ended; all that was told meanwhile arrives."""
    linked.steps(10)
    await monitor.wait(lambda: len(monitor.losses()) == 10, "the first losses")
    monitor.hangs = True
    linked.steps(10)
    await monitor.wait(lambda: len(monitor.registrations) == 2, "another registration")
    assert monitor.registrations[1].session_id == "session-1"
    monitor.hangs = False
    await monitor.stop()
    await monitor.start()
    linked.steps(10)
    await monitor.wait(lambda: len(monitor.losses()) == 30, "every loss")
    sequences = sorted(set(monitor.sequences()))
    assert sequences == list(range(1, len(sequences) + 1))


async def test_a_monitor_that_accepts_and_says_nothing_is_left(trainer, eventually):
    """A process that is stopped still accepts connections; registration has a limit, too."""
    trainer.environment["TRAINMON_HEARTBEAT_TIMEOUT_MS"] = "2000"
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.setblocking(False)
        trainer.monitor = f"127.0.0.1:{mute.getsockname()[1]}"
        trainer.start()
        loop = asyncio.get_running_loop()
        first, _ = await asyncio.wait_for(loop.sock_accept(mute), 20)
        second, _ = await asyncio.wait_for(loop.sock_accept(mute), 20)
        for each in (first, second):
            each.close()
    trainer.process.send_signal(signal.SIGTERM)
    assert await trainer.ended() == 0


async def test_nothing_is_lost_or_doubled_when_the_monitor_comes_and_goes(monitor, linked):
    """Killed in mid-stream, thrice; records keep their numbers, each step is stored once."""
    for _ in range(3):
        linked.steps(100)
        await monitor.wait(lambda: linked.step_number - 100 in monitor.losses(), "some losses")
        await monitor.stop()
        linked.steps(100)
        await monitor.start()
    await monitor.wait(lambda: len(monitor.losses()) == 600, "every loss")
    by_sequence: dict[int, bytes] = {}
    for request in monitor.requests:
        if request.HasField("sequence"):
            body = request.metric_data.SerializeToString()
            assert by_sequence.setdefault(request.sequence, body) == body
    assert sorted(by_sequence) == list(range(1, len(by_sequence) + 1))


async def test_what_was_not_stored_is_sent_again(monitor, linked):
    """A monitor that acknowledged nothing gets all of it under the same numbers."""
    monitor.acknowledges = False
    linked.steps(20)
    await monitor.wait(lambda: len(monitor.losses()) == 20, "the losses")
    first = [each for each in monitor.sequences() if each > (monitor.stored or 0)]
    monitor.requests.clear()
    await monitor.stop()
    monitor.acknowledges = True
    await monitor.start()
    await monitor.wait(lambda: len(monitor.losses()) == 20, "the losses again")
    assert monitor.sequences()[: len(first)] == first


async def test_after_a_reconnection_the_state_is_told_again(monitor, linked):
    """A monitor that was away shows at once what the run does now."""
    linked.steps(1)
    linked.tell(Kind.STATUS, status="PAUSED", message="paused by ada")
    await monitor.wait(lambda: monitor.statuses()[-1:] == ["PAUSED"], "PAUSED")
    await monitor.stop()
    count = len(monitor.statuses())
    await monitor.start()
    await monitor.wait(lambda: len(monitor.statuses()) > count, "a state")
    assert monitor.statuses()[-1] == "PAUSED"
    assert monitor.of("status_update")[-1].message == "paused by ada"


async def test_a_relay_that_follows_another_goes_on_with_its_numbers(monitor, linked, kill):
    """What the first had not read the second reads; the first number is the next."""
    linked.steps(10)
    await monitor.wait(lambda: len(monitor.losses()) == 10, "the first losses")
    await monitor.wait(lambda: monitor.stored == monitor.sequences()[-1], "all is stored")
    kill(linked.process.pid)
    await linked.ended()
    linked.steps(10)
    linked.hello["status"] = "RUNNING"
    linked.start()
    await monitor.wait(lambda: len(monitor.losses()) == 20, "every loss")
    sequences = monitor.sequences()
    assert sequences == list(range(1, len(sequences) + 1))


# --- many records in one message ------------------------------------------------------------------


async def test_where_nobody_watches_scalars_go_together(monitor, trainer, eventually):
    """What several turns brought is one message; each record of it is stored under its number."""
    monitor.config.takes_joined = True
    trainer.start()
    await monitor.wait(lambda: monitor.of("heartbeat"), "a heartbeat")
    while not any(request.joined > 1 for request in monitor.requests):
        assert trainer.step_number < 500
        trainer.steps(1)
        turn = trainer.channel.records
        await eventually(lambda turn=turn: turn.used == 0, "the step is on disk")
    count = trainer.step_number
    await monitor.wait(lambda: len(monitor.losses()) == count, "every loss")
    told = [request for request in monitor.requests if request.HasField("sequence")]
    ends = [0, *(request.sequence for request in told)]
    held = [max(1, request.joined) for request in told]
    assert ends[1:] == [end + more for end, more in zip(ends, held, strict=False)]
    await monitor.wait(lambda: monitor.stored == ends[-1], "all is stored")


async def test_a_monitor_that_follows_may_know_no_joined_records(monitor, trainer, eventually):
    """Each says anew whether it takes them: an older version put in its place gets each record."""
    monitor.config.takes_joined = True
    monitor.acknowledges = False
    trainer.start()
    await monitor.wait(lambda: monitor.of("heartbeat"), "a heartbeat")
    await monitor.stop()
    monitor.config.takes_joined = False
    monitor.requests.clear()
    for _ in range(5):
        trainer.steps(10)
        await eventually(lambda: trainer.channel.records.used == 0, "the steps are on disk")
    await monitor.start()
    await monitor.wait(lambda: len(monitor.losses()) == 50, "every loss")
    assert not any(request.joined for request in monitor.requests)


# --- refusals -------------------------------------------------------------------------------------


async def test_a_producer_that_registered_elsewhere_ends_this_relay(monitor, linked, eventually):
    """It says so once, asks for no more pictures, and no other relay is to follow it."""
    error = ErrorResponse(code=ErrorCode.ERROR_CODE_SESSION_SUPERSEDED, message="superseded")
    await monitor.end_stream(
        TelemetryResponse(error=error), Status.FAILED_PRECONDITION, "superseded by another process"
    )
    assert await linked.ended() == EXIT_FINAL
    assert len(monitor.registrations) == 1
    assert linked.errors.count("superseded") == 1
    assert linked.errors.count("\n") == 1
    assert linked.reals[Real.FRAMES_PER_SECOND] == 0
    assert linked.words[Word.LINK_LOST_NS] > 0


async def test_another_protocol_version_ends_this_relay_with_one_clear_line(monitor, trainer):
    """What, whose fault and what to do, as the monitor put it; training goes on."""
    monitor.refusal = GRPCError(Status.FAILED_PRECONDITION, "it speaks version 1, this one 9")
    trainer.start()
    assert await trainer.ended() == EXIT_FINAL
    assert trainer.errors.startswith("trainmon: the monitor at 127.0.0.1:")
    assert "it speaks version 1, this one 9" in trainer.errors
    assert "training goes on" in trainer.errors
    assert trainer.errors.count("\n") == 1


async def test_a_session_unknown_to_the_monitor_is_registered_again(monitor, linked):
    """NOT_FOUND is no end: the session is re-created under its id."""
    error = ErrorResponse(code=ErrorCode.ERROR_CODE_UNKNOWN_SESSION, message="unknown")
    await monitor.end_stream(TelemetryResponse(error=error), Status.NOT_FOUND, "unknown")
    await monitor.wait(lambda: len(monitor.registrations) == 2, "another registration")
    assert monitor.registrations[1].session_id == "session-1"


@pytest.mark.parametrize(
    "status",
    [status for status in Status if status not in (Status.OK, Status.FAILED_PRECONDITION)],
    ids=lambda status: status.name,
)
async def test_whatever_a_registration_is_refused_with_the_relay_asks_again(
    monitor, trainer, status
):
    """Only a refusal for good ends it; one that somebody must mend is told, once."""
    monitor.refusal = GRPCError(status, "not now")
    trainer.start()
    trainer.steps(5)
    await monitor.wait(lambda: len(monitor.registrations) == 3, "a third registration")
    monitor.refusal = None
    await monitor.wait(lambda: len(monitor.losses()) == 5, "every loss")
    passing = status.name in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "DATA_LOSS")
    assert trainer.errors.count("\n") == (0 if passing else 1)
    assert passing or f"({status.name}: not now)" in trainer.errors


async def test_what_no_link_could_live_with_is_not_taken_over(monitor, trainer):
    """Silence of 1 ms, a heartbeat a month, messages of 1 byte: the link stands, all arrives."""
    monitor.config.heartbeat_timeout_ms = 1
    monitor.config.heartbeat_interval_ms = 1 << 31
    monitor.config.max_message_bytes = 1
    trainer.start()
    await monitor.wait(lambda: monitor.of("heartbeat"), "a heartbeat")
    trainer.steps(5)
    trainer.tell(Kind.STATUS, status="PAUSED", message="paused by ada")
    await monitor.wait(lambda: len(monitor.losses()) == 5, "every loss")
    await monitor.wait(lambda: "PAUSED" in monitor.statuses(), "the state")
    await monitor.wait(lambda: len(monitor.of("heartbeat")) >= 4, "heartbeats")
    assert monitor.streams == 1


async def test_acknowledgments_of_what_was_never_sent_do_no_harm(monitor, linked):
    """Far too great, or of the past: what is sent later arrives under its own number."""
    linked.steps(5)
    await monitor.wait(lambda: len(monitor.losses()) == 5, "the first losses")
    for sequence in (1 << 63, 0, 1):
        await monitor.acknowledge(sequence)
    linked.steps(5)
    await monitor.wait(lambda: len(monitor.losses()) == 10, "every loss")
    sequences = monitor.sequences()
    assert sequences == list(range(1, len(sequences) + 1))
