"""The MCP server inside a hub: mounted at /mcp, callers known by their bearer token, resources that tell of changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl
from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.app import HubApp
from hub.client import LocalCaller
from hub.core.errors import HubError, Unauthorized
from hub.server.answers import send_problem
from hub.server.auth import bearer
from hub.server.sse import HEARTBEAT_S
from mcp_bridge.changes import MemberBus, current_agent, follow
from mcp_bridge.compat import LegacySubscriptions
from mcp_bridge.server import BridgeServer, Visitor, bearer_token, build_server


class HubTokens:
    """Checks bearer tokens against the hub."""

    def __init__(self, hub: HubApp) -> None:
        self._hub = hub

    async def verify_token(self, token: str) -> AccessToken | None:
        try:
            principal = await self._hub.authenticator.authenticate(token)
        except HubError:
            return None
        return AccessToken(
            token=token, client_id=str(principal.agent), subject=principal.name, scopes=sorted(principal.scopes)
        )


class Endpoint:
    """An app behind one path: every method, with its own middleware, and nothing beside that path.

    Blanks around header values go first (RFC 9110 section 5.5): the fast HTTP parser leaves them, and the SDK
    compares `Mcp-Name` with the body.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        await self._app({**scope, "headers": headers}, receive, send)


class OpenRequests:
    """Ends requests (streams and waits above all) whose token is revoked or expires while they are open."""

    def __init__(self, hub: HubApp, app: ASGIApp) -> None:
        self._hub = hub
        self._app = app
        self._open: dict[asyncio.Task[Any], str] = {}
        self._ended: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Event()
        self._asleep = False  # until there is something to look after
        hub.dispatch.on_hub_growth.append(self._changed.set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task, token = asyncio.current_task(), bearer(Headers(scope=scope).get("authorization"))
        if task is None or token is None:
            await self._app(scope, receive, send)
            return
        self._open[task] = token
        if self._asleep:
            self._changed.set()
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
            task.uncancel()
            await _end(scope, receive, send)
        finally:
            del self._open[task]
            self._ended.discard(task)

    async def watch(self) -> None:
        """Until cancelled: look after every change of agents or tokens, and now and then for those that expire."""
        while True:
            self._asleep = not self._open
            try:
                async with asyncio.timeout(None if self._asleep else HEARTBEAT_S):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._asleep = False
            self._changed.clear()
            for token in set(self._open.values()):
                try:
                    await self._hub.authenticator.authenticate(token)
                except HubError:
                    self._end_all(token)

    def _end_all(self, token: str) -> None:
        for task in [task for task, given in self._open.items() if given == token]:
            self._ended.add(task)
            task.cancel()


async def _end(scope: Scope, receive: Receive, send: Send) -> None:
    """End an answer that has begun; give one if none has."""
    try:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except RuntimeError:
        await send_problem(Unauthorized("this token was revoked or has expired; get a new one"), scope, receive, send)


def add_mcp(hub: HubApp) -> BridgeServer:
    """Serve MCP at /mcp for both protocol eras. Host and Origin are checked by the hub for every route."""

    async def connect(headers: Mapping[str, str]) -> Visitor:
        principal = await hub.authenticator.authenticate(bearer_token())
        connection = headers.get("bridge-reader") or headers.get("mcp-session-id") or principal.token
        caller = LocalCaller(hub.dispatch, principal)
        return Visitor(caller, principal.name, connection, headers.get("bridge-room"))

    bus = MemberBus()
    server = build_server(
        connect,
        bus=bus,
        token_verifier=HubTokens(hub),
        auth=AuthSettings(issuer_url=AnyHttpUrl("https://bridge.invalid"), resource_server_url=None),
    )
    legacy = LegacySubscriptions(server, current_agent)
    app = server.streamable_http_app(
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False)
    )
    requests = OpenRequests(hub, Endpoint(app))
    hub.mount([Route("/mcp", requests)])
    hub.add_background(lambda running: _running(running, server, bus, legacy, requests))
    return server


@asynccontextmanager
async def _running(
    hub: HubApp, server: BridgeServer, bus: MemberBus, legacy: LegacySubscriptions, requests: OpenRequests
) -> AsyncIterator[None]:
    failure: Exception | None = None
    async with server.session_manager.run():
        tasks = [asyncio.create_task(work) for work in (follow(hub, bus, legacy), requests.watch())]
        try:
            yield
        except Exception as error:  # the hub's own: through the SDK's task group it would come out as a group
            failure = error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    if failure is not None:
        raise failure
