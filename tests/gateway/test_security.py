"""Law 9 over a real socket: who is refused before a body is read, and what responses say."""

from __future__ import annotations

import pytest
from grpclib.const import Status

from trainmon.errors import ConfigurationError
from trainmon_gateway.security import Policy

LIST = "/trainmon.v1.DashboardService/ListSessions"
EMPTY = b"\0\0\0\0\0"


async def called(browser, **headers):
    """Call ListSessions with some headers; return the reply."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await browser.request("POST", LIST, given, EMPTY)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json",
        "application/grpc",
        "application/grpc-web-text",
        "application/grpc-web-text+proto",
        "application/grpc-web+json",
        "application/grpc-webx",
        "",
    ],
)
async def test_other_content_types_are_refused(browser, content_type):
    """Whatever a page can send without asking first is refused with 415 and what is taken."""
    reply = await called(browser, content_type=content_type)
    assert reply.status == 415
    assert b"application/grpc-web" in await reply.body()


async def test_a_request_without_a_content_type_is_refused(browser):
    """A call that does not say what it is, is refused."""
    reply = await called(browser, content_type=None)
    assert reply.status == 415


@pytest.mark.parametrize(
    "content_type",
    [
        "application/grpc-web",
        "application/grpc-web+proto",
        "Application/GRPC-Web+Proto",
        "application/grpc-web+proto; charset=utf-8",
    ],
)
async def test_binary_grpc_web_is_taken(browser, content_type):
    """Both names of binary gRPC-Web are taken, in any case and with parameters."""
    reply = await called(browser, content_type=content_type)
    await reply.messages()
    assert reply.outcome[0] is Status.OK


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.2",
        "localhost@evil.example",
        "[::2]:80",
        "[::1",
        "localhost:80:80",
        "localhost:x",
        "",
    ],
)
@pytest.mark.parametrize("target", [LIST, "/", "/healthz"])
async def test_other_hosts_are_refused(browser, host, target):
    """A name that an attacker can point here is refused for calls, pages and health alike."""
    method = "POST" if target == LIST else "GET"
    reply = await browser.request(method, target, {"host": host}, EMPTY if target == LIST else b"")
    assert reply.status == 421
    assert b"--allow-host" in await reply.body()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST:1", "box.lan:8"])
async def test_own_and_allowed_hosts_are_taken(monitor, open_gateway, host):
    """Loopback names and those of --allow-host are taken with any port."""
    _, browser = await open_gateway(monitor.address, allow_hosts=["Box.lan"])
    reply = await called(browser, host=host)
    await reply.messages()
    assert reply.outcome[0] is Status.OK


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "https://127.0.0.1:{port}",
        "http://localhost:{port}",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "http://127.0.0.1:{port}.evil.example",
        "http://127.0.0.1:{port}/",
        "127.0.0.1:{port}",
    ],
)
async def test_other_origins_are_refused(browser, origin):
    """A page of any other scheme, host or port is refused with 403, and so is a null origin."""
    reply = await called(browser, origin=origin.format(port=browser.port))
    assert reply.status == 403
    assert not [name for name in reply.headers if name.startswith("access-control")]


async def test_the_own_origin_is_taken(browser):
    """The page at the address of the gateway may call."""
    reply = await called(browser, origin=f"http://{browser.host}:{browser.port}")
    await reply.messages()
    assert reply.outcome[0] is Status.OK


def test_default_ports_are_no_difference():
    """A browser leaves out port 80 where an address may carry it."""
    fields = [(b"host", b"localhost:80"), (b"origin", b"http://localhost")]
    scope = {"method": "GET", "scheme": "http", "headers": fields}
    assert Policy("127.0.0.1").refusal(scope, call=False) is None


@pytest.mark.parametrize("name", [b"host", b"origin", b"content-type"])
def test_a_header_that_is_given_twice_is_refused(name):
    """Two values of a header that decides are refused, whatever the first one says."""
    fields = [
        (b"host", b"localhost"),
        (b"origin", b"http://localhost"),
        (b"content-type", b"application/grpc-web"),
    ]
    scope = {"method": "POST", "scheme": "http", "headers": fields}
    assert Policy("127.0.0.1").refusal(scope, call=True) is None
    twice = {**scope, "headers": [*fields, (name, b"x"), next(f for f in fields if f[0] == name)]}
    assert Policy("127.0.0.1").refusal(twice, call=True) is not None


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "DELETE", "HEAD", "PATCH"])
async def test_calls_are_posts(browser, method):
    """A call by any other method, a preflight included, is refused with what is allowed."""
    reply = await browser.request(method, LIST, {"content-type": "application/grpc-web"})
    assert reply.status == 405
    assert reply.headers["allow"] == "POST"
    assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "DELETE"])
async def test_pages_are_only_read(browser, method):
    """Pages take GET and HEAD."""
    reply = await browser.request(method, "/")
    assert reply.status == 405
    assert reply.headers["allow"] == "GET, HEAD"


async def test_a_refusal_comes_before_the_body(browser):
    """A refused request is answered though none of its announced body was sent."""
    reply = await browser.request(
        "POST", LIST, {"content-type": "text/plain", "content-length": "1000000"}
    )
    assert reply.status == 415


async def test_a_refused_command_is_not_run(open_scripted, open_gateway):
    """What a page of another origin sends never reaches the monitor."""
    monitor, address = await open_scripted()
    _, browser = await open_gateway(address)
    target = "/trainmon.v1.DashboardService/SendCommand"
    for headers in ({"origin": "http://evil.example"}, {"content-type": "text/plain"}):
        await browser.request("POST", target, headers, EMPTY)
    reply = await browser.call("ListSessions")
    await reply.messages()
    assert not [name for name in monitor.calls if name.startswith("SendCommand")]


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/", {}),
        ("HEAD", "/", {}),
        ("GET", "/_next/static/a.js", {}),
        ("GET", "/nothing", {}),
        ("GET", "/healthz", {}),
        ("GET", "/readyz", {}),
        ("POST", LIST, {}),
        ("POST", LIST, {"content-type": "text/plain"}),
        ("POST", LIST, {"origin": "null"}),
        ("GET", "/", {"host": "evil.example"}),
        ("OPTIONS", LIST, {}),
    ],
)
async def test_every_response_forbids_framing_sniffing_and_embedding(
    browser, method, target, headers
):
    """Pages, files, health, calls and refusals all carry the headers that protect them."""
    reply = await browser.request(method, target, headers, EMPTY if method == "POST" else b"")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in reply.headers


@pytest.mark.parametrize("name", ["a b", "x:80", "http://x", "[::1]:80", "", "a/b", "ä"])
def test_a_host_that_is_no_name_is_a_mistake(name):
    """--allow-host takes names without scheme, path or port, and says so."""
    with pytest.raises(ConfigurationError, match="--allow-host"):
        Policy("127.0.0.1", [name])


def test_an_ipv6_host_may_be_given_with_or_without_brackets():
    """The address of --host is compared as a Host header writes it."""
    scope = {"method": "GET", "scheme": "http", "headers": [(b"host", b"[FE80::1]:8080")]}
    assert Policy("fe80::1").refusal(scope, call=False) is None
    assert Policy("[fe80::1]").refusal(scope, call=False) is None
