"""The MCP server inside a hub: mounted at /mcp, callers known by their bearer token, resources that tell of changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.app import HubApp
from hub.client import LocalCaller
from hub.core.errors import HubError
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
    hub.mount([Route("/mcp", Endpoint(app))])
    hub.add_background(lambda running: _running(running, server, bus, legacy))
    return server


@asynccontextmanager
async def _running(
    hub: HubApp, server: BridgeServer, bus: MemberBus, legacy: LegacySubscriptions
) -> AsyncIterator[None]:
    failure: Exception | None = None
    async with server.session_manager.run():
        notifier = asyncio.create_task(follow(hub, bus, legacy))
        try:
            yield
        except Exception as error:  # the hub's own: through the SDK's task group it would come out as a group
            failure = error
        finally:
            notifier.cancel()
            await asyncio.gather(notifier, return_exceptions=True)
    if failure is not None:
        raise failure
