"""Law 9 from the attacker's side: a page of another origin, in the user's own browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from dashboard import Dashboard
from stack import stack
from trainmon.v1.control_pb2 import ControlCommand, Stop
from trainmon.v1.dashboard_pb2 import SendCommandRequest, SessionState, SessionSummary
from viewer import Viewer, viewer

pytestmark = pytest.mark.browser

#: What the browser writes when it or the gateway refuses.
REFUSED = ["CORS", "ERR_FAILED", "ERR_BLOCKED_BY_RESPONSE", "403", "415", "421"]
SERVICE = "/trainmon.v1.DashboardService"
CALL = f"{SERVICE}/SendCommand"
EMPTY_PAGE = "<!doctype html><title>evil</title><body>"


@pytest.fixture
def evil() -> Iterator[str]:
    """A web server of another origin that serves an empty page."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(EMPTY_PAGE.encode("ascii"))

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


def check_unharmed(seen: Viewer, session: SessionSummary) -> None:
    """No command is on record, and the run goes on from where it is now."""
    assert list(seen.snapshot(session.session_id).commands) == []
    step = int(seen.session().global_step)
    assert seen.at_step(step + 60).state == SessionState.SESSION_STATE_RUNNING


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
    check_unharmed(seen, session)


def stop_as_text(session_id: str) -> bytes:
    """Return a stop that a form can send: no lone newline, and ``=`` and a line's end as its end.

    The tag of a first field is a newline; written with a byte more (8A 00) it means the same.
    """
    name = session_id.encode("ascii")
    command = b"\x3a\0" + b"\x8a\0\4evil" + b"\x12\7evil=\r\n"
    message = b"\x8a\0" + bytes([len(name)]) + name + b"\x12" + bytes([len(command)]) + command
    return b"\0" + len(message).to_bytes(4, "big") + message


def test_cross_origin_form(victim, evil: str, dashboard: Dashboard, console) -> None:
    """A form of another origin whose text is a stop, byte for byte, is refused."""
    console.expected += REFUSED
    address, seen, session = victim
    body = stop_as_text(session.session_id)
    meant = SendCommandRequest.FromString(body[5:])
    assert meant.session_id == session.session_id
    assert meant.command.HasField("stop")
    dashboard.open(evil)
    with (
        dashboard.page.expect_request(f"{address}{CALL}") as sent,
        dashboard.page.expect_navigation() as answer,
    ):
        dashboard.page.evaluate(
            """([action, name]) => {
                const form = document.createElement('form');
                form.method = 'POST'; form.enctype = 'text/plain'; form.action = action;
                form.acceptCharset = 'windows-1252';
                const field = document.createElement('input');
                field.name = name; form.append(field);
                document.body.append(form); form.submit();
            }""",
            [f"{address}{CALL}", body[: -len(b"=\r\n")].decode("windows-1252")],
        )
    assert sent.value.post_data_buffer == body
    assert answer.value is not None
    assert answer.value.status in (403, 415)
    check_unharmed(seen, session)


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
    (frame,) = dashboard.page.main_frame.child_frames
    assert frame.url.startswith("chrome-error:")


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


@pytest.fixture
def deceived(launch, console) -> Iterator[Dashboard]:
    """A tab of a browser for which the attacker's name, evil.example, is this machine."""
    browser = launch("--host-resolver-rules=MAP evil.example 127.0.0.1")
    # The page that the name served before it was pointed here has no policy of ours.
    page = browser.new_page(bypass_csp=True)
    console.watch(page)
    yield Dashboard(page)
    browser.close()


def test_rebound_name(victim, deceived: Dashboard, console) -> None:
    """A name that an attacker points at 127.0.0.1 opens neither the page nor the service."""
    console.expected += [*REFUSED, "Cross-Origin-Opener-Policy"]
    address, seen, session = victim
    evil = f"http://evil.example:{urlsplit(address).port}"
    answer = deceived.page.goto(evil)
    assert answer is not None
    assert answer.status == 421
    assert "--allow-host" in answer.text()

    status, text = deceived.page.evaluate(
        """async ([path, body]) => {
            const answer = await fetch(path, { method: 'POST', body: new Uint8Array(body),
                headers: { 'Content-Type': 'application/grpc-web+proto' } });
            return [answer.status, await answer.text()];
        }""",
        [CALL, list(stop_request(session.session_id))],
    )
    assert status == 421
    assert "--allow-host" in text
    check_unharmed(seen, session)


#: What foreign code in the page would try, and the directive that stops it.
FOREIGN = {
    "script-src-elem": "add('script', { textContent: 'window.owned = true' })",
    "script-src-attr": "add('div', {}).setAttribute('onclick', 'window.owned = true')",
    "style-src-attr": "add('p', {}).setAttribute('style', 'color: red')",
    "style-src-elem": "add('style', { textContent: 'body { display: none }' })",
    "connect-src": "fetch(EVIL).then(() => { window.owned = true }, () => {})",
    "img-src": "add('img', { src: EVIL + '/told.png' })",
    "frame-src": "add('iframe', { src: EVIL })",
    "base-uri": "add('base', { href: EVIL })",
    "form-action": "add('form', { action: EVIL, method: 'POST' }).submit()",
}


@pytest.mark.parametrize("directive", FOREIGN)
def test_foreign_code_does_nothing(
    victim, evil: str, dashboard: Dashboard, console, directive: str
) -> None:
    """What gets into the page is neither run nor able to tell anyone: the browser forbids it."""
    console.expected += ["Content Security Policy", "Refused to"]
    address, _, _ = victim
    dashboard.open(address)
    forbidden = dashboard.page.evaluate(
        f"""(EVIL) => new Promise((tell) => {{
            document.addEventListener('securitypolicyviolation',
                (violation) => tell(violation.effectiveDirective));
            const add = (tag, given) => {{
                const made = Object.assign(document.createElement(tag), given);
                document.body.append(made);
                return made;
            }};
            {FOREIGN[directive]};
        }})""",
        evil,
    )
    assert forbidden == directive
    assert dashboard.page.evaluate("window.owned") is None
    assert dashboard.page.url.startswith(address)


def test_responses_carry_their_armour(victim, dashboard: Dashboard) -> None:
    """Page and service answer with a policy that lets nothing foreign in, and a type of ours."""
    address, _, _ = victim
    page = dashboard.page.goto(address)
    assert page is not None
    policy = page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    # What the page's own code is told of an answer, having asked for markup.
    answer = dashboard.page.evaluate(
        """async (path) => {
            const answer = await fetch(path, { method: 'POST', body: new Uint8Array(5),
                headers: { 'Content-Type': 'application/grpc-web+proto', 'Accept': 'text/html' } });
            await answer.arrayBuffer();
            return Object.fromEntries(answer.headers);
        }""",
        f"{SERVICE}/ListSessions",
    )
    assert answer["content-type"].startswith("application/grpc-web")
    assert {"no-store", "no-transform"} <= set(answer["cache-control"].split(", "))
    assert answer["x-accel-buffering"] == "no"
    assert answer["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer
