"""Server-sent events: GET /v1/stream follows rooms and resumes with Last-Event-ID."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.requests import Request
from starlette.routing import Route

from hub.core.access import Principal
from hub.core.cursor import decode
from hub.core.errors import HubError, MethodNotAllowed
from hub.log.tail import Page
from hub.server.answers import send_problem
from hub.server.auth import bearer
from hub.server.coalesce import CHUNKS, chunk
from hub.server.pump import Allowance, Pump
from hub.server.security import Receive, Scope, Send
from hub.server.subscription import Batch, Subscription

if TYPE_CHECKING:
    from hub.app import HubApp

HEARTBEAT_S: Final = 15
STUCK_S: Final = 10
HEADERS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_STILL_HERE: Final = b": still here\n\n"
_STILL_HERE_CHUNK: Final = chunk(_STILL_HERE)


def routes(hub: HubApp) -> list[Route]:
    return [Route("/v1/stream", _Stream(hub))]


async def principal_of(hub: HubApp, request: Request) -> Principal:
    """The principal of the request's token, or of a page's ticket."""
    if ticket := request.query_params.get("ticket"):
        return await hub.authenticator.redeem(ticket)
    address = request.client.host if request.client else ""
    return await hub.authenticator.authenticate(bearer(request.headers.get("authorization")), address)


class _Stream:
    """ASGI endpoint of one SSE connection at a time."""

    def __init__(self, hub: HubApp) -> None:
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            if request.method != "GET":
                raise MethodNotAllowed("only GET is possible here", allow="GET")
            principal = await principal_of(self._hub, request)
            principal.need("room:read")
            subscription = await self._subscribe(request, principal)
            self._hub.dispatch.limits.open("sockets", principal.agent)
        except HubError as error:
            await send_problem(error, scope, receive, send)
            return
        try:
            with self._hub.dispatch.presence.connected(principal.agent, "stream"):
                await self._run(subscription, Allowance(self._hub, principal), scope, receive, send)
        finally:
            self._hub.dispatch.limits.close("sockets", principal.agent)

    async def _subscribe(self, request: Request, principal: Principal) -> Subscription:
        subscription = Subscription(self._hub.dispatch, principal)
        names = request.query_params.get("rooms")
        cursor = request.headers.get("last-event-id") or request.query_params.get("cursor") or "c"
        await subscription.follow(names.split(",") if names else None, decode(cursor))
        return subscription

    async def _run(
        self, subscription: Subscription, allowance: Allowance, scope: Scope, receive: Receive, send: Send
    ) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await write(send, b": connected\n\n")
        await until_gone(receive, self._feed(Pump(self._hub, allowance, subscription, _Outlet(scope, send)), send))

    async def _feed(self, pump: Pump, send: Send) -> None:
        pump.open()
        try:
            await pump.run(HEARTBEAT_S)
        except HubError:
            pass  # no longer allowed: the stream ends
        except TimeoutError:
            return
        await send({"type": "http.response.body", "body": b""})


class _Outlet:
    """A response without end."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._write_chunk = scope.get("extensions", {}).get(CHUNKS)

    def write_now(self, batch: Batch) -> bool:
        return self._write_chunk is not None and self._write_chunk(self._scope, batch.shape(_sse_chunk))

    async def write(self, batch: Batch) -> None:
        await write(self._send, batch.shape(sse))

    def still_here_now(self) -> bool:
        return self._write_chunk is not None and self._write_chunk(self._scope, _STILL_HERE_CHUNK)

    async def still_here(self) -> None:
        await write(self._send, _STILL_HERE)


async def write(send: Send, body: bytes) -> None:
    """Raises TimeoutError when the reader takes nothing for 10 s; it then resumes by its cursor."""
    async with asyncio.timeout(STUCK_S):
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def until_gone(receive: Receive, pump: Coroutine[Any, Any, None]) -> None:
    """Run `pump` until it ends or the reader goes away."""
    tasks = (asyncio.create_task(_disconnected(receive)), asyncio.create_task(pump))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def sse(batch: Batch) -> bytes:
    """The batch as one write: signals, every event with its type, then the resume cursor for all rooms."""
    parts = [b"event: gap\ndata: " + orjson.dumps(gap.model_dump()) + b"\n\n" for gap in batch.gaps]
    parts += [b"event: signal\ndata: " + signal + b"\n\n" for signal in batch.signals]
    parts += batch.parts(_sse_events)
    parts.append(b"id: " + batch.cursor.encode() + b"\n\n")
    return b"".join(parts)


def _sse_events(page: Page) -> bytes:
    return b"".join([b"event: " + _type(frame) + b"\ndata: " + frame + b"\n\n" for frame in page.frames])


def _sse_chunk(batch: Batch) -> bytes:
    return chunk(sse(batch))


def _type(frame: bytes) -> bytes:
    """The event's type, from the frame's fixed head (see `Event.frame`)."""
    start = frame.index(b'"type":"') + 8
    return frame[start : frame.index(b'"', start)]
