"""TelemetryService: trainings come in here. No rules of its own, they are the backend's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from trainmon.monitor.doors import (
    UNKNOWN_CALLER,
    answering_refusals,
    caller_of,
    require_known_caller,
    run_outlet,
)
from trainmon.monitor.framing import (
    MessageTooLargeError,
    PeerGoneError,
    bytes_received,
    peer_of,
    receive,
    receive_request,
)
from trainmon.monitor.link import TrainerLink
from trainmon.monitor.store.base import StoreReadError
from trainmon.sealing import BrokenSealError, Seal, seal
from trainmon.v1.telemetry_grpc import TelemetryServiceBase
from trainmon.v1.telemetry_pb2 import (
    ErrorCode,
    RegisterTrainingSessionRequest,
    SessionResponse,
    TelemetryRequest,
    TelemetryResponse,
)

if TYPE_CHECKING:
    from grpclib.server import Stream

    from trainmon.monitor.backend import Backend

__all__ = ["TelemetryService"]

#: How a relay is told that the history cannot be read: DATA_LOSS would say to it that bytes were
#: changed on the way, which passes and is told to nobody.
_UNREADABLE = Status.INTERNAL


class TelemetryService(TelemetryServiceBase):
    """The service on grpclib.

    Args:
        backend: What it speaks for.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._limit_bytes = backend.settings.max_message_bytes

    async def RegisterTrainingSession(  # noqa: N802 - the contract's name
        self, stream: Stream[RegisterTrainingSessionRequest, SessionResponse]
    ) -> None:
        """Open, join or take over a session."""
        require_known_caller(self._backend, stream)
        request = await receive_request(stream, RegisterTrainingSessionRequest, self._limit_bytes)
        with answering_refusals(unreadable=_UNREADABLE):
            response = await self._backend.register(request)
        # The server's codec passes bytes through.
        await stream.send_message(seal(response.SerializeToString()))  # type: ignore[arg-type]

    async def StreamTelemetry(  # noqa: N802 - the contract's name
        self, stream: Stream[TelemetryRequest, TelemetryResponse]
    ) -> None:
        """Carry telemetry up and commands down until either end is gone."""
        timeout_s = self._backend.settings.heartbeat_timeout_ms / 1000
        link = TrainerLink(
            self._backend.clock, lambda: bytes_received(stream), timeout_s, peer_of(stream)
        )
        if caller_of(self._backend, stream) is None:
            link.fail(ErrorCode.ERROR_CODE_UNAUTHENTICATED, UNKNOWN_CALLER)
        self._backend.link_opened(link)
        reader = asyncio.create_task(self._read(stream, link), name="TrainerLink reader")
        reader.add_done_callback(lambda _: link.end(Status.OK))
        try:
            await run_outlet(link, stream)
        finally:
            await self._backend.link_closed(link, reader)
        if not reader.cancelled():
            reader.result()

    async def _read(
        self, stream: Stream[TelemetryRequest, TelemetryResponse], link: TrainerLink
    ) -> None:
        peer = Seal()
        try:
            while (data := await receive(stream, self._limit_bytes)) is not None:
                request = _decoded(peer, data)
                if request is None:
                    self._backend.undecodable(link)
                else:
                    await self._backend.take(link, request, data)
                if link.over:
                    return
        except BrokenSealError as error:
            self._backend.changed_on_its_way(link, error)
        except StoreReadError as error:
            link.error(ErrorCode.ERROR_CODE_RESOURCE_EXHAUSTED, error.reason)
            link.end(_UNREADABLE, error.reason)
        except MessageTooLargeError as error:
            self._backend.too_large(link, error)
        except GRPCError as error:
            link.end(error.status, error.message or "")
        except PeerGoneError:
            return


def _decoded(peer: Seal, data: bytes) -> TelemetryRequest | None:
    request = TelemetryRequest()
    try:
        peer.parse(request, data)
    except DecodeError:
        return None
    return request
