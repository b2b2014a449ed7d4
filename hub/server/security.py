"""Checks before anything else, on every route and before every WebSocket accept: Host, Origin, headers.

Loopback is not a boundary: a page in the user's browser can reach it. So a request needs a known Host, no foreign
Origin, and (except on the probes) a token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from hub.core.errors import HubError, Malformed, MisdirectedHost, OriginNotAllowed

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Response = tuple[bytes, bytes]
"""Status line and headers, each with its line end, without the empty line; and the body."""

Answer = Callable[[Response], None]
Begin = Callable[[str, dict[bytes, bytes], bytes, Answer], bool]
"""`begin(path, headers, body, answer)` of an app; false, and nothing was done, for what takes more than that.

The headers, of which none stands twice, are no larger than `MOST_HEADER_BYTES`.
"""

_MOST_HEADERS: Final = 100
MOST_HEADER_BYTES: Final = 32 * 1024
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
EXTENSION: Final = "chrome-extension://jlobenjgedfgfcjmcklhmfoildicnhoj"
"""Origin of the browser extension; the `key` in its manifest fixes it. It still needs a token."""


class Guard:
    """Pure ASGI middleware that refuses what cannot be meant for this hub."""

    def __init__(
        self,
        app: App,
        *,
        hosts: Iterable[str],
        origins: Iterable[str],
        refuse: Callable[..., Any],
        begin: Begin | None = None,
    ) -> None:
        self._app = app
        self._begin = begin
        self.hosts = {host.lower() for host in hosts}
        self.origins = set(origins)
        self._refuse = refuse
        self._known_hosts: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            self.check(scope["headers"], scope.get("path", ""))
        except HubError as error:
            await self._refuse(error, scope, receive, send)
            return
        await self._app(scope, receive, send)

    def begin(self, path: str, headers: dict[bytes, bytes], raw: bytes, answer: Answer) -> bool:
        """Let the app begin a whole request at once; false, and nothing was done, when it cannot or must not."""
        if self._begin is None or headers.get(b"host") not in self._known_hosts or len(headers) > _MOST_HEADERS:
            return False  # `check` says what is wrong with it, if anything is
        if b"origin" in headers or b"sec-fetch-site" in headers:
            return False
        return self._begin(path, headers, raw, answer)

    def check(self, headers: list[tuple[bytes, bytes]], path: str) -> None:
        """Raises when the headers are too large, or Host or Origin is not ours."""
        host = origin = None
        site, size, hosts = b"", 0, 0
        for name, value in headers:
            size += len(name) + len(value)
            if name == b"host":
                host, hosts = value, hosts + 1
            elif name == b"origin":
                origin = value.decode("latin-1")
            elif name == b"sec-fetch-site":
                site = value
        if len(headers) > _MOST_HEADERS or size > MOST_HEADER_BYTES:
            raise Malformed("too many or too large headers")
        if host is None or hosts != 1:
            raise Malformed("exactly one Host header is needed")
        if host not in self._known_hosts:
            self._check_host(host)
        if origin is not None or site:
            self._check_origin(origin, site, host.decode("latin-1").lower())

    def _check_host(self, raw: bytes) -> None:
        host = raw.decode("latin-1").lower()
        if host not in self.hosts and _without_port(host) not in self.hosts:
            raise MisdirectedHost(f"host {host[:100]!r} is not served here; allowed hosts are set with BRIDGE_HOSTS")
        if len(self._known_hosts) < 100:
            self._known_hosts.add(raw)

    def _check_origin(self, origin: str | None, site: bytes, host: str) -> None:
        if origin is not None and not self._own(origin, host):
            raise OriginNotAllowed(
                f"origin {origin[:100]!r} is not allowed; allowed origins are set with BRIDGE_ORIGINS"
            )
        if site == b"cross-site" and origin is None:
            raise OriginNotAllowed("cross-site requests are not allowed")

    def _own(self, origin: str, host: str) -> bool:
        return origin in self.origins or origin in (f"http://{host}", f"https://{host}")


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.split("]", 1)[0] + "]"
    return host.rsplit(":", 1)[0] if host.count(":") == 1 else host
