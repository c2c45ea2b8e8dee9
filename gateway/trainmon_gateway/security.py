"""Who may call the gateway, decided before a body is read, and what every response says.

There is no CORS: no page of another origin has any business here. A page of another origin can
still send requests, and a name it owns can be made to resolve to this machine; hence the checks of
Origin, Host and Content-Type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from trainmon.errors import ConfigurationError
from trainmon_gateway.http import Headers, Scope, header

__all__ = [
    "GRPC_HEADERS",
    "Policy",
    "Refusal",
    "content_security_policy",
    "page_headers",
]

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>\d{1,5}))?")
_OWN_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
_GRPC_WEB = frozenset({"application/grpc-web", "application/grpc-web+proto"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def content_security_policy(
    scripts: Iterable[str] = (), styles: Iterable[str] = (), style_attributes: Iterable[str] = ()
) -> bytes:
    """Return the policy of a page: only our own files, and inline code known by its hash.

    Args:
        scripts: Hashes of inline scripts, ``sha256-…``.
        styles: Hashes of inline style elements.
        style_attributes: Hashes of style attributes.
    """
    attributes = [*_quoted(style_attributes)]
    style_attribute_source = " ".join(["'unsafe-hashes'", *attributes]) if attributes else "'none'"
    directives = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", *_quoted(scripts)]),
        "style-src": " ".join(["'self'", *_quoted(styles)]),
        "style-src-attr": style_attribute_source,
        "img-src": "'self' blob: data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "worker-src": "'self'",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in directives.items()).encode("ascii")


def _quoted(hashes: Iterable[str]) -> list[str]:
    return [f"'{each}'" for each in sorted(set(hashes))]


#: On every response.
_ALWAYS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)

#: On every answer to a call. The type is ours, whatever the viewer says it accepts.
GRPC_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    *_ALWAYS,
    (b"content-security-policy", content_security_policy()),
    (b"content-type", b"application/grpc-web+proto"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
)


def page_headers(
    content_type: bytes, *, cache: bytes = b"no-store", policy: bytes | None = None
) -> list[tuple[bytes, bytes]]:
    """Return the headers of anything but a call.

    Args:
        content_type: Of the body.
        cache: Cache-Control.
        policy: Content-Security-Policy; the strictest where None.
    """
    return [
        *_ALWAYS,
        (b"content-security-policy", policy or content_security_policy()),
        (b"content-type", content_type),
        (b"cache-control", cache),
    ]


@dataclass(frozen=True)
class Refusal:
    """Why a request is not served.

    Args:
        status: HTTP status.
        text: What was wrong and how it is allowed, for whoever reads the response.
        headers: To be sent with it.
    """

    status: int
    text: str
    headers: Headers = ()


class Policy:
    """Which requests are served.

    Args:
        host: Where the gateway listens.
        allow_hosts: Further names by which viewers may address it, without ports.

    Raises:
        ConfigurationError: One of them is no host name.
    """

    def __init__(self, host: str, allow_hosts: Iterable[str] = ()) -> None:
        self._names = _OWN_NAMES | {_host_name(host, "--host")}
        self._names |= {_host_name(each, "--allow-host") for each in allow_hosts}

    def refusal(self, scope: Scope, *, call: bool) -> Refusal | None:
        """Return why a request is refused; None where it is served.

        Args:
            scope: The ASGI scope.
            call: Whether its path is that of a gRPC-Web call.
        """
        return self._wrong_host(scope) or _wrong_origin(scope) or _wrong_form(scope, call=call)

    def _wrong_host(self, scope: Scope) -> Refusal | None:
        host = _all(scope, b"host")
        match = _HOST.fullmatch(host[0].lower()) if len(host) == 1 else None
        if match is not None and match["name"] in self._names:
            return None
        return Refusal(
            421,
            f"Host is {', '.join(host) or 'missing'}, but this gateway answers only to "
            f"{', '.join(sorted(self._names))}. To address it by another name, start it with "
            "--allow-host NAME.\n",
        )


def _host_name(text: str, setting: str) -> str:
    name = text.strip().lower()
    if ":" in name and not name.startswith("["):
        name = f"[{name}]"
    match = _HOST.fullmatch(name)
    if match is None or match["port"] is not None:
        raise ConfigurationError(setting, text, "a host name or address, without a port")
    return match["name"]


def _wrong_origin(scope: Scope) -> Refusal | None:
    origins = _all(scope, b"origin")
    if not origins:
        return None
    own = f"{scope['scheme']}://{(header(scope, b'host') or b'').decode('latin-1')}"
    if [_normal(each) for each in origins] == [_normal(own)]:
        return None
    return Refusal(
        403,
        f"Origin is {', '.join(origins)}, but only pages of {own} may call this gateway. Open the "
        "dashboard at the address the gateway prints.\n",
    )


def _normal(origin: str) -> str:
    origin = origin.lower()
    default = _DEFAULT_PORTS.get(origin.partition("://")[0])
    return origin.removesuffix(default) if default else origin


def _wrong_form(scope: Scope, *, call: bool) -> Refusal | None:
    allowed = ("POST",) if call else ("GET", "HEAD")
    if scope["method"] not in allowed:
        methods = " and ".join(allowed)
        text = f"The method is {scope['method']}, but this address takes only {methods}.\n"
        return Refusal(405, text, [(b"allow", ", ".join(allowed).encode("ascii"))])
    if not call:
        return None
    types = _all(scope, b"content-type")
    if len(types) == 1 and types[0].partition(";")[0].strip().lower() in _GRPC_WEB:
        return None
    return Refusal(
        415,
        f"Content-Type is {', '.join(types) or 'missing'}, but calls are taken only as "
        f"{' or '.join(sorted(_GRPC_WEB))}: use a binary gRPC-Web client.\n",
    )


def _all(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1")[:200] for key, value in scope["headers"] if key == name]
