"""Law 9 from the attacker's side: a page of another origin, in the user's own browser."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from dashboard import Dashboard
from stack import stack
from trainmon.v1.control_pb2 import ControlCommand, Stop
from trainmon.v1.dashboard_pb2 import SendCommandRequest, SessionSummary
from viewer import Viewer, viewer

pytestmark = pytest.mark.browser

#: What the browser writes when it or the gateway refuses.
REFUSED = ["CORS", "ERR_FAILED", "ERR_BLOCKED_BY_RESPONSE", "403", "415"]
CALL = "/trainmon.v1.DashboardService/SendCommand"


@pytest.fixture
def evil() -> Iterator[str]:
    """A web server of another origin that serves an empty page."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>evil</title><body>")

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, name="evil")
        thread.start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def victim(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, Viewer, SessionSummary]]:
    """A running training: the dashboard's address, a viewer of the monitor, and the session."""
    with stack(tmp_path_factory.mktemp("victim")) as processes:
        _, monitor = processes.monitor()
        _, address = processes.gateway(monitor)
        processes.training(monitor, "--epochs", "1000")
        with viewer(monitor) as seen:
            yield address, seen, seen.at_step(10)


def stop_request(session_id: str) -> bytes:
    """Return the gRPC-Web body of a stop."""
    command = ControlCommand(command_id="evil", issued_by="evil", stop=Stop())
    message = SendCommandRequest(session_id=session_id, command=command).SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + message


@pytest.mark.parametrize(
    "options",
    [
        "mode: 'no-cors', headers: {'Content-Type': 'text/plain'}",
        "mode: 'no-cors'",
        "mode: 'cors', headers: {'Content-Type': 'application/grpc-web+proto'}",
        "mode: 'cors', headers: {'Content-Type': 'text/plain'}",
        "mode: 'no-cors', keepalive: true, headers: {'Content-Type': 'text/plain'}",
    ],
)
def test_cross_origin_fetch(victim, evil: str, dashboard: Dashboard, console, options: str) -> None:
    """No fetch from another origin puts a command on record."""
    console.expected += REFUSED
    address, seen, session = victim
    dashboard.open(evil)
    body = list(stop_request(session.session_id))
    dashboard.page.evaluate(
        f"""async (body) => {{
            try {{ await fetch('{address}{CALL}', {{
                method: 'POST', body: new Uint8Array(body), {options} }}) }}
            catch (refused) {{ return String(refused) }}
        }}""",
        body,
    )
    assert list(seen.snapshot(session.session_id).commands) == []
    seen.at_step(int(session.global_step) + 60)


def test_cross_origin_form(victim, evil: str, dashboard: Dashboard, console) -> None:
    """A form of another origin is refused before its body is read."""
    console.expected += REFUSED
    address, seen, session = victim
    dashboard.open(evil)
    with dashboard.page.expect_navigation():
        dashboard.page.evaluate(
            f"""() => {{
                const form = document.createElement('form');
                form.method = 'POST'; form.enctype = 'text/plain'; form.action = '{address}{CALL}';
                document.body.append(form); form.submit();
            }}"""
        )
    assert list(seen.snapshot(session.session_id).commands) == []


def test_framing(victim, evil: str, dashboard: Dashboard, console) -> None:
    """The dashboard cannot be framed by another origin, where a click could be stolen."""
    console.expected += ["frame-ancestors", "X-Frame-Options", "Refused to", "Framing"]
    address, _, _ = victim
    dashboard.open(evil)
    dashboard.page.evaluate(
        f"""() => new Promise((done) => {{
            const frame = document.createElement('iframe');
            frame.onload = done; frame.src = '{address}'; document.body.append(frame);
        }})"""
    )
    framed = [frame for frame in dashboard.page.frames if frame.url.startswith(address)]
    assert not any(frame.get_by_test_id("session-row").count() for frame in framed)
    assert not any("trainmon" in frame.title().lower() for frame in framed)


def test_reading_across_origins(victim, evil: str, dashboard: Dashboard, console) -> None:
    """Another origin reads neither the page nor what the service says."""
    console.expected += REFUSED
    address, _, _ = victim
    dashboard.open(evil)
    for path in ("/", "/healthz", "/trainmon.v1.DashboardService/ListSessions"):
        read = dashboard.page.evaluate(
            f"async () => {{ try {{ return await (await fetch('{address}{path}')).text() }}"
            " catch { return null } }"
        )
        assert read is None, path


def test_rebound_name(victim) -> None:
    """A name that an attacker points at 127.0.0.1 is refused as a Host, for page and service."""
    address, seen, session = victim
    port = urlsplit(address).port
    for method, path in (("GET", "/"), ("POST", CALL)):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        headers = {"Host": f"evil.example:{port}", "Content-Type": "application/grpc-web+proto"}
        connection.request(method, path, stop_request(session.session_id), headers)
        answer = connection.getresponse()
        assert answer.status in (403, 421)
        assert b"--allow-host" in answer.read()
        connection.close()
    assert list(seen.snapshot(session.session_id).commands) == []


def test_responses_carry_their_armour(victim) -> None:
    """Page and service answer with a policy that lets nothing foreign in."""
    address, _, _ = victim
    parts = urlsplit(address)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=10)
    connection.request("GET", "/")
    page = connection.getresponse()
    page.read()
    policy = page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    script = next(part for part in policy.split(";") if "script-src" in part)
    assert "unsafe" not in script
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    connection.request(
        "POST",
        "/trainmon.v1.DashboardService/ListSessions",
        b"\0\0\0\0\0",
        {"Content-Type": "application/grpc-web+proto", "Accept": "text/html"},
    )
    answer = connection.getresponse()
    answer.read()
    assert answer.headers["Content-Type"].startswith("application/grpc-web")
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["Access-Control-Allow-Origin"] is None
    connection.close()
