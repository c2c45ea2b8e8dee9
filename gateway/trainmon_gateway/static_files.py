"""The dashboard's files: read once, served from memory, and nothing but them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from trainmon.errors import TrainmonError
from trainmon_gateway.http import Headers, Scope, Send, header, respond
from trainmon_gateway.security import content_security_policy, page_headers

__all__ = ["STATIC", "StaticFiles"]

#: Where the build hook puts the dashboard.
STATIC = Path(__file__).parent / "static"

#: Greatest dashboard held in memory, in bytes. It is a few MB; more means a wrong folder.
MAX_BYTES = 64 << 20

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_IMMUTABLE = b"public, max-age=31536000, immutable"
_REVALIDATE = b"no-cache"

_MISSING = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>trainmon: no dashboard</title></head><body>
<h1>The dashboard has not been built</h1>
<p>This gateway was installed without its dashboard. Calls are served; only the page is missing.
To build it, in the repository:</p>
<pre>python gateway/hatch_build.py</pre>
<p>then start the gateway again.</p>
</body></html>
"""
_NOT_FOUND = b"Not found. The dashboard is at /.\n"


@dataclass(frozen=True)
class _File:
    body: bytes
    etag: bytes
    headers: Headers


class StaticFiles:
    """Serves the files below a folder, as they were when this was made.

    A path is looked up among the names that were found, so that none can lead out of the folder.
    Symbolic links are left out.

    Args:
        folder: The built dashboard.

    Raises:
        TrainmonError: The folder holds more than :data:`MAX_BYTES`.
    """

    def __init__(self, folder: Path = STATIC) -> None:
        self._files = _load(folder)
        self._missing = "/" not in self._files

    async def __call__(self, scope: Scope, send: Send) -> None:
        """Answer a GET or HEAD. The server leaves out the body of a HEAD's answer."""
        path = scope["path"]
        found = self._files.get(path) or self._files.get(f"{path}.html")
        if found is not None:
            await _send_file(found, header(scope, b"if-none-match"), send)
        elif self._missing and path == "/":
            headers = page_headers(b"text/html; charset=utf-8")
            await respond(send, 503, headers, _MISSING.encode("utf-8"))
        else:
            await self._not_found(send)

    async def _not_found(self, send: Send) -> None:
        page = self._files.get("/404.html")
        if page is None:
            await respond(send, 404, page_headers(b"text/plain; charset=utf-8"), _NOT_FOUND)
        else:
            await respond(send, 404, page.headers, page.body)


async def _send_file(file: _File, known: bytes | None, send: Send) -> None:
    headers = [*file.headers, (b"etag", file.etag)]
    if known is not None and _matches(known, file.etag):
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    else:
        await respond(send, 200, headers, file.body)


def _matches(known: bytes, etag: bytes) -> bool:
    tags = [each.strip().removeprefix(b"W/") for each in known.split(b",")]
    return etag in tags or tags == [b"*"]


def _load(folder: Path) -> dict[str, _File]:
    root, files, size = folder.resolve(), {}, 0
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or path.resolve() != root / name or name.startswith("."):
            continue  # a folder, reached through a symbolic link, or the build's own note
        size += path.stat().st_size
        if size > MAX_BYTES:
            raise TrainmonError(
                f"{folder} holds more than {MAX_BYTES} bytes, which is no dashboard: reinstall "
                "trainmon-gateway"
            )
        files[f"/{name}"] = _read(path, immutable=name.startswith("_next/static/"))
    if "/index.html" in files:
        files["/"] = files["/index.html"]
    return files


def _read(path: Path, *, immutable: bool) -> _File:
    body = path.read_bytes()
    content_type = _TYPES.get(path.suffix, "application/octet-stream").encode("ascii")
    policy = _policy_of(body.decode("utf-8")) if path.suffix == ".html" else None
    cache = _IMMUTABLE if immutable else _REVALIDATE
    etag = b'"' + hashlib.sha256(body).hexdigest()[:32].encode("ascii") + b'"'
    return _File(body, etag, page_headers(content_type, cache=cache, policy=policy))


def _policy_of(page: str) -> bytes:
    finder = _InlineFinder()
    finder.feed(page)
    finder.close()
    return content_security_policy(
        map(_digest, finder.scripts), map(_digest, finder.styles), map(_digest, finder.attributes)
    )


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


class _InlineFinder(HTMLParser):
    """Collects what a page holds of inline code; its own build wrote the page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.attributes: list[str] = []
        self._inside: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note style attributes, and the beginning of an inline script or style."""
        given = dict(attrs)
        if given.get("style"):
            self.attributes.append(given["style"] or "")
        if tag == "script" and "src" not in given:
            self._inside = self.scripts
        elif tag == "style":
            self._inside = self.styles
        if self._inside is not None:
            self._inside.append("")

    def handle_data(self, data: str) -> None:
        """Note the text of an inline script or style."""
        if self._inside is not None:
            self._inside[-1] += data

    def handle_endtag(self, tag: str) -> None:
        """Leave a script or style."""
        if tag in ("script", "style"):
            self._inside = None
