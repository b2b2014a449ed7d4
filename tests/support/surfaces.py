"""One scenario over four surfaces: plain HTTP, the Python client, MCP tools, the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import httpx2
import orjson
from click.testing import CliRunner
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from hub.client import HubClient
from hub.client.client import http_request, registry
from hub.core.access import Kind
from hub.core.errors import HubError
from hub.core.operation import Request
from hub.kernel.agents.contract import RegisterAgent
from hub.kernel.rooms.contract import JoinRoom
from hub.settings import Settings
from mcp_bridge.cli import cli
from mcp_bridge.serve import Served, serving

SURFACES: Final = ("http", "client", "mcp", "cli")


class Refused(Exception):
    """The surface said no; the text says why."""


class Hand(Protocol):
    """Somebody who acts through one surface. Each act is told in the words of all of them."""

    async def do(
        self, request: Request[Any], *, tool: tuple[str, dict[str, Any]], command: Sequence[str]
    ) -> dict[str, Any]:
        """The answer as JSON. Raises Refused."""
        ...


class ByHttp:
    """Requests written by hand, as a script in any language would."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def do(
        self, request: Request[Any], *, tool: tuple[str, dict[str, Any]], command: Sequence[str]
    ) -> dict[str, Any]:
        method, path, query, body = http_request(registry().by_request[type(request)], request)
        answer = await self._http.request(method, path, params=query, json=body)
        found: dict[str, Any] = answer.json()
        if answer.is_error:
            raise Refused(found["detail"])
        return found


class ByClient:
    """The typed client."""

    def __init__(self, client: HubClient) -> None:
        self._client = client

    async def do(
        self, request: Request[Any], *, tool: tuple[str, dict[str, Any]], command: Sequence[str]
    ) -> dict[str, Any]:
        try:
            result: Any = await self._client.call(request)
        except HubError as error:
            raise Refused(error.detail) from error
        found: dict[str, Any] = result.model_dump(mode="json", by_alias=True)
        return found


class ByTools:
    """MCP tools, as a model calls them."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def do(
        self, request: Request[Any], *, tool: tuple[str, dict[str, Any]], command: Sequence[str]
    ) -> dict[str, Any]:
        result = await self._client.call_tool(*tool)
        if result.is_error:
            raise Refused(getattr(result.content[0], "text", ""))
        found: dict[str, Any] = result.structured_content or {}
        return found


class ByCommands:
    """The command line with --json."""

    def __init__(self, url: str, token: str) -> None:
        self._env = {"BRIDGE_URL": url, "BRIDGE_TOKEN": token}

    async def do(
        self, request: Request[Any], *, tool: tuple[str, dict[str, Any]], command: Sequence[str]
    ) -> dict[str, Any]:
        ran = await asyncio.to_thread(CliRunner().invoke, cli, [*command, "--json"], env=self._env)
        if ran.exit_code:
            raise Refused(ran.output)
        found: dict[str, Any] = orjson.loads(ran.stdout)
        return found


class Stage:
    """A served hub and people who act through one surface of it."""

    def __init__(self, served: Served, surface: str, stack: AsyncExitStack) -> None:
        self.served = served
        self.surface = surface
        self._stack = stack
        self.caller: dict[int, HubClient] = {}  # id of a hand -> a client of the same agent, to set a scene

    async def person(self, name: str, room: str = "build", kind: Kind = "code") -> Hand:
        """A new agent, already in the room."""
        token = await register(self.served, name, kind)
        client = await self._stack.enter_async_context(HubClient(self.served.url, token))
        await client.call(JoinRoom(room=room, create=True))
        hand = await self._hand(client, token)
        self.caller[id(hand)] = client
        return hand

    async def _hand(self, client: HubClient, token: str) -> Hand:
        if self.surface == "client":
            return ByClient(client)
        if self.surface == "cli":
            return ByCommands(self.served.url, token)
        http = await open_http(self._stack, self.served, token)
        return ByHttp(http) if self.surface == "http" else ByTools(await open_tools(self._stack, self.served, http))


async def register(served: Served, name: str, kind: Kind = "code") -> str:
    """The token of a new agent."""
    async with HubClient(served.url, served.token) as local:
        token = (await local.call(RegisterAgent(name=name, kind=kind))).token
    assert token is not None
    return token


async def open_http(stack: AsyncExitStack, served: Served, token: str) -> httpx2.AsyncClient:
    """A plain HTTP client of the agent with this token, until the stack ends."""
    headers = {"authorization": f"Bearer {token}"}
    http = httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=httpx2.Timeout(30))
    return await stack.enter_async_context(http)


async def open_tools(stack: AsyncExitStack, served: Served, http: httpx2.AsyncClient) -> Client:
    """An MCP client over that connection, until the stack ends."""
    return await stack.enter_async_context(Client(streamable_http_client(f"{served.url}/mcp", http_client=http)))


@asynccontextmanager
async def stage_on(home: Path, surface: str, **settings: Any) -> AsyncIterator[Stage]:
    """A hub on a socket for a scenario over one surface."""
    async with serving(Settings(home=home, port=0, log_level="error", **settings)) as served, AsyncExitStack() as stack:
        yield Stage(served, surface, stack)
