"""The only file that touches private parts of the MCP SDK (2.3): what its public API does not offer yet."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, Final

from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp_types import EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

MOST_SUBSCRIPTIONS: Final = 1000
STUCK_S: Final = 0.5


class LegacySubscriptions:
    """`resources/subscribe` for clients of the handshake era, which the SDK's high-level server leaves out.

    `whose` names the agent that makes the running request: notifications go to members only.
    """

    def __init__(self, server: MCPServer[Any], whose: Callable[[], int]) -> None:
        self._whose = whose
        # by connection: `ctx.session` is a new object with every request
        self._known: weakref.WeakKeyDictionary[Connection, tuple[int, set[str]]] = weakref.WeakKeyDictionary()
        lowlevel = server._lowlevel_server
        lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)

    @property
    def agents(self) -> set[int]:
        """Who subscribed to anything."""
        return {agent for agent, uris in self._known.values() if uris}

    async def _subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        _, uris = self._known.setdefault(ctx.session._connection, (self._whose(), set()))
        if len(uris) < MOST_SUBSCRIPTIONS:
            uris.add(str(params.uri))
        return EmptyResult()

    async def _unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        if (known := self._known.get(ctx.session._connection)) is not None:
            known[1].discard(str(params.uri))
        return EmptyResult()

    async def updated(self, uri: str, agents: set[int]) -> None:
        """Notify the clients of these agents that subscribed to `uri`; one that takes nothing is forgotten."""
        for connection, (agent, uris) in list(self._known.items()):
            if agent in agents and uri in uris:
                try:
                    async with asyncio.timeout(STUCK_S):
                        await connection.send_resource_updated(uri)
                except TimeoutError:
                    self._known.pop(connection, None)
