"""The product's MCP server without a token, for suites that cannot send one: `python -m tests.conformance.server PORT`.

Everything else is as served: the same factory, the same hub behind it, the same checks of Host and Origin.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings

from hub.app import HubApp
from hub.client import LocalCaller
from hub.server.answers import send_problem
from hub.server.security import LOOPBACK, Guard
from hub.settings import Settings
from mcp_bridge.compat import LegacySubscriptions
from mcp_bridge.server import BridgeServer, Visitor, build_server


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
        yield server


async def main(port: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        async with open_server(Path(home)) as server:
            app = server.streamable_http_app(
                transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False)
            )
            async with server.session_manager.run():
                guarded = Guard(app, hosts=LOOPBACK, origins=(), refuse=send_problem)
                config = uvicorn.Config(guarded, port=port, lifespan="off", log_level="error")
                await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
