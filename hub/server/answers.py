"""ASGI answers: JSON bytes and problems. Small, because they are on the hot path."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import orjson

from hub.core.errors import HubError
from hub.server.coalesce import WHOLE
from hub.server.encoding import choose, encode
from hub.server.security import Receive, Response, Scope, Send

JSON: Final = (b"content-type", b"application/json")
PROBLEM: Final = (b"content-type", b"application/problem+json")
_COMMON: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
Headers = tuple[tuple[bytes, bytes], ...]


async def send_bytes(send: Send, status: int, body: bytes, headers: Headers = (JSON,)) -> None:
    """One whole response."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": (*headers, *_COMMON, length)})
    await send({"type": "http.response.body", "body": body})


@lru_cache(maxsize=64)
def _head(status: int, headers: Headers) -> bytes:
    """Status line and headers of a response, up to the number of bytes."""
    reason = HTTPStatus(status).phrase.encode()
    lines = b"".join([b"%b: %b\r\n" % header for header in (*headers, *_COMMON)])
    return b"HTTP/1.1 %d %b\r\n%bcontent-length: " % (status, reason, lines)


def _packed(body: bytes, accepted: bytes | None) -> tuple[Headers, bytes]:
    """A JSON body with its headers, compressed when it is large and the request accepts it."""
    coding = choose(accepted, len(body))
    if coding is None:
        return (JSON,), body
    return (JSON, (b"content-encoding", coding), (b"vary", b"accept-encoding")), encode(body, coding)


def _response(status: int, headers: Headers, body: bytes) -> Response:
    return b"%b%d\r\n" % (_head(status, headers), len(body)), body


def json_response(status: int, body: bytes, accepted: bytes | None) -> Response:
    """What `send_json` sends, for a request that went straight."""
    return _response(status, *_packed(body, accepted))


def problem_response(error: HubError, path: str) -> Response:
    """What `send_problem` sends, for a request that went straight."""
    return _response(error.status, *_problem(error, path))


async def send_json(scope: Scope, send: Send, status: int, body: bytes, asked: Mapping[bytes, bytes]) -> None:
    """One whole JSON response, compressed when it is large and the request's headers accept it."""
    headers, packed = _packed(body, asked.get(b"accept-encoding"))
    respond = scope.get("extensions", {}).get(WHOLE)
    if respond is None or not respond(send, *_response(status, headers, packed)):
        await send_bytes(send, status, packed, headers)


async def send_problem(error: HubError, scope: Scope, receive: Receive, send: Send) -> None:
    """RFC 9457, with the headers the status calls for; a WebSocket is closed before it was accepted."""
    headers, body = _problem(error, scope.get("path", ""))
    if scope["type"] == "websocket":
        await _deny_websocket(scope, receive, send, error.status, body, headers)
        return
    await send_bytes(send, error.status, body, headers)


def _problem(error: HubError, path: str) -> tuple[Headers, bytes]:
    headers: list[tuple[bytes, bytes]] = [PROBLEM]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()))
    if error.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="multi-agent-bridge"'))
    if allow := error.extra.get("allow"):
        headers.append((b"allow", str(allow).encode()))
    return tuple(headers), orjson.dumps(error.problem(path))


async def _deny_websocket(
    scope: Scope, receive: Receive, send: Send, status: int, body: bytes, headers: Headers
) -> None:
    await receive()
    if "websocket.http.response" in scope.get("extensions", {}):
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})
    else:
        await send({"type": "websocket.close", "code": 1008})
