"""The dashboard's files: what is served, what is not, and under which policy."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from trainmon.errors import TrainmonError
from trainmon_gateway import static_files
from trainmon_gateway.static_files import StaticFiles


async def get(files, path, **headers):
    """Return status, headers and body of one answer."""
    sent = []

    async def send(event):
        sent.append(event)

    fields = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    await files({"path": path, "method": "GET", "headers": fields}, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


@pytest.mark.parametrize("path", ["/", "/index.html", "/index"])
async def test_the_page_is_served(dashboard, path):
    """The page is at / and under its own name."""
    status, headers, body = await get(StaticFiles(dashboard), path)
    assert status == 200
    assert headers[b"content-type"] == b"text/html; charset=utf-8"
    assert body == (dashboard / "index.html").read_bytes()
    assert headers[b"content-length"] == b"%d" % len(body)


async def test_assets_named_by_their_content_are_kept_for_ever(dashboard):
    """What Next.js names by its hash is immutable, the page is asked for again each time."""
    files = StaticFiles(dashboard)
    assert b"immutable" in (await get(files, "/_next/static/a.js"))[1][b"cache-control"]
    assert (await get(files, "/"))[1][b"cache-control"] == b"no-cache"


async def test_a_file_the_viewer_has_is_not_sent_again(dashboard):
    """If-None-Match with the file's tag, alone or among others, is answered 304."""
    files = StaticFiles(dashboard)
    etag = (await get(files, "/"))[1][b"etag"].decode()
    for known in (etag, f'"x", W/{etag}', "*"):
        status, headers, body = await get(files, "/", if_none_match=known)
        assert (status, body) == (304, b"")
        assert headers[b"etag"].decode() == etag
    assert (await get(files, "/", if_none_match='"x"'))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "//etc/passwd",
        "/_next/../../secret",
        "/%2e%2e/secret",
        "/..\\secret",
        "/_next",
        "/_next/",
        "/\0",
        "/.stamp",
        "/link",
        "/folder/secret",
        "/nothing",
    ],
)
async def test_nothing_else_is_served(dashboard, path):
    """No path leads out of the folder, to a link, a folder, or the build's note."""
    (dashboard.parent / "secret").write_text("secret")
    (dashboard / "link").symlink_to(dashboard.parent / "secret")
    (dashboard / "folder").symlink_to(dashboard.parent)
    (dashboard / ".stamp").write_text("secret")
    status, headers, body = await get(StaticFiles(dashboard), path)
    assert status == 404
    assert body == b"<p>nothing here"
    assert headers[b"content-type"] == b"text/html; charset=utf-8"


async def test_a_dashboard_without_a_404_page_says_so_in_a_line(dashboard):
    """Without a page of its own the 404 is one line."""
    (dashboard / "404.html").unlink()
    status, _, body = await get(StaticFiles(dashboard), "/nothing")
    assert (status, body.count(b"\n")) == (404, 1)


async def test_a_missing_dashboard_says_how_to_build_it(tmp_path):
    """Without built files the page tells the command, with a status that says unavailable."""
    status, _, body = await get(StaticFiles(tmp_path / "none"), "/")
    assert status == 503
    assert b"hatch_build.py" in body
    assert (await get(StaticFiles(tmp_path / "none"), "/x"))[0] == 404


async def test_the_policy_allows_inline_code_by_its_hash_alone(dashboard):
    """Each inline script, style and style attribute is allowed by hash; nothing unsafe is."""
    script, style, attribute = "if (1 < 2) {\n f('&amp;') }", "p > a {}", "color: red"
    (dashboard / "index.html").write_text(
        f"<style>{style}</style><p style='{attribute}'>x</p><script>{script}</script>"
        "<script src='/a.js'></script><script type='module'></script>"
    )
    policy = (await get(StaticFiles(dashboard), "/"))[1][b"content-security-policy"].decode()
    for text in (script, style, attribute):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy
    assert re.search(r"frame-ancestors 'none'", policy)


async def test_other_files_have_the_strictest_policy(dashboard):
    """A file that is no page allows no inline code."""
    headers = (await get(StaticFiles(dashboard), "/_next/static/a.js"))[1]
    assert b"sha256" not in headers[b"content-security-policy"]
    assert headers[b"content-type"] == b"text/javascript; charset=utf-8"


async def test_a_folder_too_large_to_be_a_dashboard_is_refused(dashboard, monkeypatch):
    """What is held in memory is bounded; the error names folder and limit."""
    monkeypatch.setattr(static_files, "MAX_BYTES", 10)
    with pytest.raises(TrainmonError, match="10 bytes"):
        StaticFiles(dashboard)
