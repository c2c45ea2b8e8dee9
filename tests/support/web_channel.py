"""A channel for a viewer that asks a gateway, in gRPC-Web over plain HTTP, as a page does."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

import grpc
from typing_extensions import Self

__all__ = ["WebCall", "WebChannel", "WebError"]

_CONTENT_TYPE = "application/grpc-web+proto"
_PREFIX = struct.Struct(">BI")
_TRAILERS = 0x80
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class WebError(grpc.RpcError):  # type: ignore[misc] # grpc has no types
    """How a call ended, unless well."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        """Its status."""
        return self._code

    def details(self) -> str:
        """What was said of it."""
        return self._details


class WebCall:
    """One call on a connection of its own: an iterator of its messages, as grpc's is.

    Args:
        channel: Where to.
        method: Its path.
        message: The request.
        parse: Makes a message of bytes.
        timeout_s: How long the gateway may be silent.
    """

    def __init__(
        self,
        channel: WebChannel,
        method: str,
        message: bytes,
        parse: Callable[[bytes], Any],
        timeout_s: float,
    ) -> None:
        self._parse = parse
        self._cancelled = self._over = False
        self._reading = threading.Lock()
        self._connection = http.client.HTTPConnection(channel.host, channel.port, timeout=timeout_s)
        body = _PREFIX.pack(0, len(message)) + message
        try:
            self._connection.request("POST", method, body, {"content-type": _CONTENT_TYPE})
            self._response = self._connection.getresponse()
            if self._response.status != http.HTTPStatus.OK:
                raise WebError(grpc.StatusCode.UNKNOWN, f"HTTP status {self._response.status}")
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise WebError(grpc.StatusCode.UNAVAILABLE, repr(error)) from error
        except WebError:
            self._connection.close()
            raise

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._reading:
            return self._next()

    def _next(self) -> Any:
        if self._over:
            raise StopIteration
        try:
            flags, length = _PREFIX.unpack(self._read(_PREFIX.size))
            data = self._read(length)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._end()
            if self._cancelled:
                raise WebError(grpc.StatusCode.CANCELLED, "it was left") from error
            raise WebError(grpc.StatusCode.UNAVAILABLE, repr(error)) from error
        if not flags & _TRAILERS:
            return self._parse(data)
        self._end()
        trailers = dict(line.split(": ", 1) for line in data.decode().split("\r\n") if line)
        code = _CODES[int(trailers["grpc-status"])]
        if code is not grpc.StatusCode.OK:
            raise WebError(code, unquote(trailers.get("grpc-message", "")))
        raise StopIteration

    def cancel(self) -> None:
        """Leave, from any thread."""
        self._cancelled = True
        own = self._connection.sock
        if own is not None:
            with suppress(OSError):  # the gateway has just left
                own.shutdown(socket.SHUT_RDWR)
        if self._reading.acquire(blocking=False):  # else whoever reads sees its end
            self._end()
            self._reading.release()

    def _read(self, size: int) -> bytes:
        data: bytes = self._response.read(size) if size else b""
        if len(data) < size:
            raise http.client.IncompleteRead(data, size - len(data))
        return data

    def _end(self) -> None:
        self._over = True
        self._response.close()
        self._connection.close()


class WebChannel:
    """What grpc's stubs take for a channel; calls that fail raise ``grpc.RpcError``.

    Args:
        host: Of the gateway.
        port: Of the gateway.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass  # each call has a connection of its own

    def unary_stream(
        self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any
    ) -> Callable[..., WebCall]:
        """Return a method that answers with a stream."""

        def call(request: Any, timeout: float) -> WebCall:
            data = request_serializer(request)
            return WebCall(self, method, data, response_deserializer, timeout)

        return call

    def unary_unary(
        self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any
    ) -> Callable[..., Any]:
        """Return a method that answers with one message."""
        stream = self.unary_stream(method, request_serializer, response_deserializer)

        def call(request: Any, timeout: float) -> Any:
            (message,) = stream(request, timeout)
            return message

        return call
