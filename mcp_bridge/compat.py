"""The only file that touches private parts of the MCP SDK (2.3): what its public API does not offer yet."""

from __future__ import annotations

import weakref
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.session import ServerSession
from mcp_types import EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams


class LegacySubscriptions:
    """`resources/subscribe` for clients of the handshake era, which the SDK's high-level server leaves out."""

    def __init__(self, server: MCPServer[Any]) -> None:
        self._sessions: weakref.WeakKeyDictionary[ServerSession, set[str]] = weakref.WeakKeyDictionary()
        lowlevel = server._lowlevel_server
        lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)

    @property
    def sessions(self) -> int:
        """How many sessions subscribed to anything."""
        return len(self._sessions)

    async def _subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        self._sessions.setdefault(ctx.session, set()).add(str(params.uri))
        return EmptyResult()

    async def _unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        self._sessions.get(ctx.session, set()).discard(str(params.uri))
        return EmptyResult()

    async def updated(self, uri: str) -> None:
        """Notify every session that subscribed to `uri`."""
        for session, uris in list(self._sessions.items()):
            if uri in uris:
                await session.send_resource_updated(uri)
