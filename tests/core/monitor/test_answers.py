"""Answers that could be large: lists that are continued, scalars that wait for room."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from grpclib.client import Channel
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from trainmon.cli.client import Client
from trainmon.monitor.answers import AnswerRoom
from trainmon.monitor.dashboard import MAX_ANSWER_BYTES
from trainmon.monitor.refusal import RefusedError
from trainmon.monitor.store.base import AnswerTooLargeError
from trainmon.monitor.store.durable.store import SqlStore
from trainmon.monitor.store.memory import MemoryStore
from trainmon.v1.dashboard_grpc import DashboardServiceStub
from trainmon.v1.dashboard_pb2 import (
    EventKind,
    GetBatchRequest,
    ListSessionsRequest,
    QueryEventsRequest,
    QueryMetricsRequest,
)
from trainmon.v1.telemetry_pb2 import MetricSeries

SOON_S = 20.0
SESSIONS = 300


async def listed(monitor, **fields):
    """Return an answer to ListSessions."""
    return await monitor.dashboard.ListSessions(ListSessionsRequest(**fields))


async def test_a_list_too_long_for_one_answer_is_continued(start_monitor):
    """No answer passes the limit, each says what it left out, and together they are the list."""
    limit = 1 << 16
    async with start_monitor(max_message_bytes=limit) as monitor:
        made = []
        for number in range(SESSIONS):
            answer = await monitor.register(session_name="x" * 256, hostname=f"host {number}")
            made.append(answer.session_id)
        found, answers = [], 0
        answer = await listed(monitor)
        while True:
            answers += 1
            assert answer.ByteSize() <= limit
            found += [each.session_id for each in answer.sessions]
            assert answer.left_out == SESSIONS - len(found)
            if not answer.left_out:
                break
            answer = await listed(monitor, after_session_id=found[-1])
        assert answers > 1
        assert found == made[::-1]
        async with Client(monitor.server.address) as client:  # as the command line asks
            assert [each.session_id for each in (await client.sessions()).sessions] == found


async def test_a_list_may_be_asked_for_in_part(monitor):
    """Whoever only wants the time, or the newest, need not be sent everything."""
    for name in ("a", "b", "c"):
        await monitor.register(session_name=name)
    answer = await listed(monitor, max_sessions=1)
    assert [each.session_name for each in answer.sessions] == ["c"]
    assert answer.left_out == 2
    with pytest.raises(GRPCError) as raised:
        await listed(monitor, after_session_id="gone")
    assert raised.value.status is Status.NOT_FOUND


async def test_a_place_that_no_history_has_is_refused(start_monitor, tmp_path):
    """Numbers of 64 bits without a sign are more than a database counts."""
    store = SqlStore(tmp_path / "history", 64 << 20, 256 << 20)
    async with start_monitor(_store=store) as monitor:
        session_id = (await monitor.register(session_name="a")).session_id
        kind = EventKind.EVENT_KIND_EPOCH
        for after in (1 << 63, (1 << 64) - 1):
            request = QueryEventsRequest(session_id=session_id, kind=kind, after=after)
            with pytest.raises(GRPCError, match="send `next` of an answer") as raised:
                await monitor.dashboard.QueryEvents(request)
            assert raised.value.status is Status.INVALID_ARGUMENT
        request.after = (1 << 63) - 1
        assert not (await monitor.dashboard.QueryEvents(request)).epochs
        with pytest.raises(GRPCError) as raised:
            await monitor.dashboard.GetBatch(
                GetBatchRequest(session_id=session_id, step=(1 << 64) - 1)
            )
        assert raised.value.status is Status.NOT_FOUND


class SlowStore(MemoryStore):
    """Has large answers, and gives them when it is told to."""

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.go = asyncio.Event()
        self.asked = self.building = self.most = 0

    async def metrics(self, session_id, query):
        """Wait, where the query allows a large answer."""
        if query.max_bytes < MAX_ANSWER_BYTES:
            self.asked += 1
            raise AnswerTooLargeError(query.max_bytes)
        self.building += 1
        self.most = max(self.most, self.building)
        await self.go.wait()
        self.building -= 1
        return await super().metrics(session_id, query)


async def test_of_large_answers_only_so_many_are_built_at_once(start_monitor):
    """Ten that ask for all at once are all answered, two at a time."""
    store = SlowStore()
    async with start_monitor(store) as monitor:
        session_id = (await monitor.register(session_name="long")).session_id
        asked = [asyncio.create_task(monitor.metrics(session_id)) for _ in range(10)]
        await monitor.until(lambda: store.building == 2 and store.asked == 10)
        store.go.set()
        answers = await asyncio.wait_for(asyncio.gather(*asked), SOON_S)
    assert store.most == 2
    assert len(answers) == 10


async def test_who_does_not_read_an_answer_holds_its_room_only_so_long(start_monitor, monkeypatch):
    """Two large answers that nobody reads keep no third from being sent."""

    class Large(MemoryStore):
        async def metrics(self, session_id, query):
            if query.max_bytes < MAX_ANSWER_BYTES:
                raise AnswerTooLargeError(query.max_bytes)
            return [MetricSeries(name="loss", steps=[1.0] * 700_000)]  # more than a client buffers

    monkeypatch.setattr("trainmon.monitor.dashboard._SEND_S", 0.2)
    async with start_monitor(Large(1 << 20)) as monitor:
        session_id = (await monitor.register(session_name="long")).session_id
        held = [asyncio.Event(), asyncio.Event()]
        done = asyncio.Event()

        async def stall(begun: asyncio.Event) -> None:
            channel = Channel("127.0.0.1", monitor.server.port)
            try:
                async with DashboardServiceStub(channel).QueryMetrics.open() as stream:
                    request = QueryMetricsRequest(session_id=session_id)
                    await stream.send_message(request, end=True)
                    await stream.recv_initial_metadata()
                    begun.set()
                    await done.wait()
            finally:
                channel.close()

        stalled = [asyncio.create_task(stall(begun)) for begun in held]
        await asyncio.wait_for(asyncio.gather(*(begun.wait() for begun in held)), SOON_S)
        monkeypatch.setattr("trainmon.monitor.dashboard._SEND_S", SOON_S)
        answer = await asyncio.wait_for(monitor.metrics(session_id), SOON_S)
        assert len(answer.series[0].steps) == 700_000
        done.set()
        await asyncio.gather(*stalled, return_exceptions=True)  # how they end is their affair


async def test_small_answers_that_nobody_reads_keep_no_other_waiting(start_monitor, monkeypatch):
    """Each counts as what it is once it is built, not as the largest there could be."""
    monkeypatch.setattr("trainmon.monitor.dashboard._ANSWERS_BYTES", 8 << 20)
    small = Configuration(http2_connection_window_size=65_535, http2_stream_window_size=65_535)

    class Short(MemoryStore):
        async def metrics(self, session_id, query):
            return [MetricSeries(name="loss", steps=[1.0] * 25_000)]  # more than the window

    async with start_monitor(Short(1 << 20)) as monitor, AsyncExitStack() as stack:
        session_id = (await monitor.register(session_name="short")).session_id
        for _ in range(5):
            channel = Channel("127.0.0.1", monitor.server.port, config=small)
            stack.callback(channel.close)
            call = DashboardServiceStub(channel).QueryMetrics.open()
            stream = await stack.enter_async_context(call)
            await stream.send_message(QueryMetricsRequest(session_id=session_id), end=True)
            await asyncio.wait_for(stream.recv_initial_metadata(), SOON_S)
            stack.push_async_callback(stream.cancel)
        answer = await asyncio.wait_for(monitor.metrics(session_id), SOON_S)
        assert len(answer.series[0].steps) == 25_000


async def test_room_that_came_too_late_goes_to_the_next():
    """A call that is cancelled as its turn comes keeps nothing."""
    room = AnswerRoom(answer_bytes=1 << 20, total_bytes=1 << 20, most_waiting=2)

    async def hold() -> None:
        async with room.held() as built:
            built(0)

    async with room.held():
        waiting = [asyncio.create_task(hold()) for _ in range(2)]
        await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait_for(waiting[1], SOON_S)
    assert waiting[0].cancelled()
    await asyncio.wait_for(hold(), SOON_S)


async def test_an_answer_over_the_limit_is_refused_once_there_was_room(start_monitor):
    """What no room holds is refused as ever, and leaves room for others."""

    class Endless(MemoryStore):
        async def metrics(self, session_id, query):
            raise AnswerTooLargeError(query.max_bytes)

    async with start_monitor(Endless(1 << 20)) as monitor:
        session_id = (await monitor.register(session_name="long")).session_id
        for _ in range(5):
            with pytest.raises(GRPCError, match=f"more than {MAX_ANSWER_BYTES} bytes") as raised:
                await monitor.dashboard.QueryMetrics(QueryMetricsRequest(session_id=session_id))
            assert raised.value.status is Status.RESOURCE_EXHAUSTED


async def test_more_than_may_wait_are_refused():
    """Waiting is bounded, too; who leaves the queue makes place in it."""
    room = AnswerRoom(answer_bytes=10, total_bytes=20, most_waiting=1)
    go = asyncio.Event()

    async def hold() -> None:
        async with room.held():
            await go.wait()

    holding = [asyncio.create_task(hold()) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(RefusedError, match="1 calls wait") as raised:
        await hold()
    assert raised.value.status is Status.UNAVAILABLE
    holding[2].cancel()
    await asyncio.wait({holding[2]})
    holding[2] = asyncio.create_task(hold())
    await asyncio.sleep(0)
    go.set()
    await asyncio.wait_for(asyncio.gather(*holding), SOON_S)
