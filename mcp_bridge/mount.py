"""The MCP server inside a hub: mounted at /mcp, callers known by their bearer token, resources that tell of changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated, ServerEvent
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.app import HubApp
from hub.client import LocalCaller
from hub.core.errors import HubError
from hub.log.log import load_stream
from hub.storage.interface import Tx
from mcp_bridge.compat import LegacySubscriptions
from mcp_bridge.server import BridgeServer, Visitor, bearer_token, build_server

COALESCE_S: Final = 0.02  # under load one notification stands for many commits


class CountingBus(InMemorySubscriptionBus):
    """The SDK's bus, which also knows whether anybody listens."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners = 0

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        leave = super().subscribe(listener)
        self.listeners += 1
        left = False

        def unsubscribe() -> None:
            nonlocal left
            leave()
            self.listeners -= not left
            left = True

        return unsubscribe


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


class _Whole:
    """An app behind one path: every method, with its own middleware, and nothing beside that path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def add_mcp(hub: HubApp) -> BridgeServer:
    """Serve MCP at /mcp for both protocol eras. Host and Origin are checked by the hub for every route."""

    async def connect(headers: Mapping[str, str]) -> Visitor:
        principal = await hub.authenticator.authenticate(bearer_token())
        connection = headers.get("bridge-reader") or headers.get("mcp-session-id") or principal.token
        caller = LocalCaller(hub.dispatch, principal)
        return Visitor(caller, principal.name, connection, headers.get("bridge-room"))

    bus = CountingBus()
    server = build_server(
        connect,
        bus=bus,
        token_verifier=HubTokens(hub),
        auth=AuthSettings(issuer_url=AnyHttpUrl("https://bridge.invalid"), resource_server_url=None),
    )
    legacy = LegacySubscriptions(server)
    app = server.streamable_http_app(
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False)
    )
    hub.mount([Route("/mcp", _Whole(app))])
    hub.add_background(lambda running: _running(running, server, bus, legacy))
    return server


@asynccontextmanager
async def _running(
    hub: HubApp, server: BridgeServer, bus: CountingBus, legacy: LegacySubscriptions
) -> AsyncIterator[None]:
    async with server.session_manager.run():
        notifier = asyncio.create_task(_notify(hub, bus, legacy))
        try:
            yield
        finally:
            notifier.cancel()
            await asyncio.gather(notifier, return_exceptions=True)


async def _notify(hub: HubApp, bus: CountingBus, legacy: LegacySubscriptions) -> None:
    """Tell subscribers which resources changed: wake-ups only, content comes by reading."""
    grown = asyncio.Event()
    tails = hub.dispatch.tails
    tails.listen(grown)
    seen = tails.stamp
    try:
        while True:
            await grown.wait()
            await asyncio.sleep(COALESCE_S)
            grown.clear()
            if not bus.listeners and not legacy.sessions:
                seen = tails.stamp
                continue
            topics, seen = tails.topics_since(seen), tails.stamp
            for uri in await hub.store.read(lambda tx, topics=topics: _uris(tx, topics)):  # type: ignore[misc]
                await bus.publish(ResourceUpdated(uri=uri))
                await legacy.updated(uri)
    finally:
        tails.unlisten(grown)


def _uris(tx: Tx, topics: list[int]) -> list[str]:
    """Resources that a growth of these topics changed."""
    uris: list[str] = []
    for topic in topics:
        if topic > 1:
            name = load_stream(tx, topic).name
            uris += [f"room://{name}", f"room://{name}/events"]
    return [*uris, "inbox://me"] if topics else uris
