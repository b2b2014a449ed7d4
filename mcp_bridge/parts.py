"""What hangs on a hub when it is served: one line per part. Tests that need only the hub leave them out."""

from __future__ import annotations

from hub.app import HubApp
from hub.dashboard.page import add_dashboard
from mcp_bridge.mount import add_mcp


def add_parts(hub: HubApp) -> None:
    """Add pages, the MCP server and everything else that is served beside the operations."""
    add_dashboard(hub)
    add_mcp(hub)
