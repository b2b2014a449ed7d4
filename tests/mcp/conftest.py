"""MCP clients against a real hub on a real socket, in both protocol eras."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from hub.client import HubClient
from hub.kernel.agents.contract import RegisterAgent
from hub.settings import Settings
from mcp_bridge.serve import Served, serving

Mode = Literal["auto", "legacy"]


class Room:
    """A served hub and MCP clients of agents in it."""

    def __init__(self, served: Served, mode: Mode) -> None:
        self.served = served
        self.mode = mode
        self._stack = AsyncExitStack()
        self.tokens: dict[str, str] = {}

    async def token(self, name: str, kind: Any = "code") -> str:
        async with HubClient(self.served.url, self.served.token) as client:
            made = await client.call(RegisterAgent(name=name, kind=kind))
        assert made.token is not None
        self.tokens[name] = made.token
        return made.token

    async def agent(self, name: str, kind: Any = "code", headers: dict[str, str] | None = None) -> Client:
        """An MCP client of a new agent."""
        token = await self.token(name, kind)
        return await self.connect(token, headers)

    async def connect(self, token: str, headers: dict[str, str] | None = None) -> Client:
        http = httpx2.AsyncClient(
            headers={"authorization": f"Bearer {token}", **(headers or {})}, timeout=httpx2.Timeout(30, read=90)
        )
        await self._stack.enter_async_context(http)
        transport = streamable_http_client(f"{self.served.url}/mcp", http_client=http)
        return await self._stack.enter_async_context(Client(transport, mode=self.mode))

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture(params=["auto", "legacy"])
async def mcp_room(tmp_path: Path, request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Room]:
    """A served hub; every tool test runs in both protocol eras."""
    async with serving(Settings(home=tmp_path, port=0, log_level="error")) as served:
        room = Room(served, request.param)
        try:
            yield room
        finally:
            await room.close()


async def call(client: Client, tool: str, /, **arguments: Any) -> dict[str, Any]:
    """The structured answer of a tool call that must succeed."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    found: dict[str, Any] = result.structured_content
    return found


async def refused(client: Client, tool: str, /, **arguments: Any) -> str:
    """The text of a tool call that must be refused."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.structured_content
    return str(getattr(result.content[0], "text", ""))
