"""The proxy of the kill tests does to bytes what it says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from proxy import Proxy


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Stand before a server that sends back whatever comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threads = []

        def echo(connection: socket.socket) -> None:
            with connection:
                try:
                    while data := connection.recv(4096):
                        connection.sendall(data)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                threads.append(threading.Thread(target=echo, args=(connection,)))
                threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        stands = Proxy(server.getsockname()[1], seed=1)
        yield stands
        stands.close()
        server.shutdown(socket.SHUT_RDWR)
        accepting.join()
        for thread in threads:
            thread.join()


def connected(proxy: Proxy) -> socket.socket:
    """Connect through it."""
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=20)


def test_bytes_pass(proxy: Proxy) -> None:
    """By itself it passes everything on."""
    with connected(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
    assert proxy.up.passed == proxy.down.passed == 5


def test_stalled_bytes_come_later(proxy: Proxy) -> None:
    """Stalled, it takes bytes and passes none; healed, it passes them on."""
    with connected(proxy) as client:
        client.sendall(b"a")
        assert client.recv(100) == b"a"
        proxy.stall()
        client.sendall(b"b")
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(100)
        proxy.heal()
        client.settimeout(20)
        assert client.recv(100) == b"b"


def test_partition_refuses_others(proxy: Proxy) -> None:
    """Parted, it refuses connections, and passes nothing of those there are."""
    with connected(proxy) as client:
        client.sendall(b"a")
        assert client.recv(100) == b"a"
        proxy.partition()
        with pytest.raises(ConnectionRefusedError):
            connected(proxy)
        client.sendall(b"b")
        proxy.heal()
        assert client.recv(100) == b"b"
    with connected(proxy) as client:
        client.sendall(b"c")
        assert client.recv(100) == b"c"


def test_cut_resets(proxy: Proxy) -> None:
    """Cut, every connection is reset; another can be made."""
    with connected(proxy) as client:
        client.sendall(b"a")
        assert client.recv(100) == b"a"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    with connected(proxy) as client:
        client.sendall(b"b")
        assert client.recv(100) == b"b"


def test_one_byte_changes(proxy: Proxy) -> None:
    """It changes as many bytes as it was told, of one chunk, and the next comes whole."""
    with connected(proxy) as client:
        proxy.corrupt(proxy.up)
        client.sendall(bytes(50))
        got = client.recv(100)
        assert len(got) == 50
        assert sum(byte != 0 for byte in got) == 1
        client.sendall(bytes(50))
        assert client.recv(100) == bytes(50)


def test_delay_and_rate_lose_nothing(proxy: Proxy) -> None:
    """Delayed and slowed down, all bytes come, in order."""
    proxy.up.delay_s, proxy.down.bytes_per_s = 0.01, 1_000_000
    told = bytes(range(256)) * 200
    with connected(proxy) as client:
        client.sendall(told)
        got = b""
        while len(got) < len(told):
            got += client.recv(65536)
    assert got == told
