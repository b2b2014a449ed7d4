"""The product's MCP server without a token, for suites that cannot send one: `python -m tests.conformance.server PORT`.

Everything else is as served: the same factory, the same hub behind it, the same checks of Host and Origin.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, MISSING_REQUIRED_CLIENT_CAPABILITY

from hub.app import HubApp
from hub.client import LocalCaller
from hub.core.errors import Invalid
from hub.server.answers import send_problem
from hub.server.security import LOOPBACK, Guard
from hub.settings import Settings
from mcp_bridge.compat import LegacySubscriptions
from mcp_bridge.desk import Desk
from mcp_bridge.mount import Endpoint
from mcp_bridge.server import BridgeServer, Visitor, build_server
from mcp_bridge.toolbox import Answer, Args, tool
from tests.conformance.fixtures import add_fixtures


class Greet(Args):
    name: str


class Slow(Args):
    seconds: float = 1
    label: str = ""


class Nothing(Args):
    pass


@tool("Greet", {"text": "string"}, reads=True)
async def greet(desk: Desk, args: Greet) -> Answer:
    """The suite's tool that answers at once."""
    return Answer({"text": f"Hello, {args.name}!"}, f"Hello, {args.name}!")


@tool("Take a while", {"text": "string"}, waits=True)
async def slow_compute(desk: Desk, args: Slow) -> Answer:
    """The suite's tool that becomes a task."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(args.seconds):
            await asyncio.Event().wait()
    return Answer({"text": args.label}, f"done: {args.label}")


@tool("Fail", {"text": "string"}, waits=True)
async def failing_job(desk: Desk, args: Nothing) -> Answer:
    """The suite's tool whose task completes with an error of the tool."""
    raise Invalid("this job always fails")


@tool("Break", {"text": "string"}, waits=True)
async def protocol_error_job(desk: Desk, args: Nothing) -> Answer:
    """The suite's tool whose task fails with a protocol error."""
    raise MCPError(code=INTERNAL_ERROR, message="this job always breaks")


@tool("Need sampling", {"text": "string"})
async def test_missing_capability(desk: Desk, args: Nothing) -> Answer:
    """The suite's tool that its client lacks a capability for."""
    needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
    raise MCPError(code=MISSING_REQUIRED_CLIENT_CAPABILITY, message="declare the capability sampling", data=needed)


@asynccontextmanager
async def open_server(home: Path) -> AsyncIterator[BridgeServer]:
    """The server over a fresh hub; every caller is the local user."""
    hub = HubApp(Settings(home=home))
    async with hub.running():
        await hub.know_local(await hub.local_token())
        principal = hub.local_principal()

        async def connect(headers: Mapping[str, str]) -> Visitor:
            return Visitor(LocalCaller(hub.dispatch, principal), principal.name, headers.get("mcp-session-id") or "one")

        server = build_server(connect)
        LegacySubscriptions(server, lambda: principal.agent)
        add_fixtures(server)
        yield server


async def main(port: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        async with open_server(Path(home)) as server:
            app = server.streamable_http_app(
                transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False)
            )
            async with server.session_manager.run():
                guarded = Guard(Endpoint(app), hosts=LOOPBACK, origins=(), refuse=send_problem)
                config = uvicorn.Config(guarded, port=port, lifespan="off", log_level="error")
                await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
