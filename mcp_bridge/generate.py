"""Writes `generated.json`: the handshake and the lists, as the relay answers them. `python -m mcp_bridge.generate`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mcp import Client

from mcp_bridge.server import BridgeServer, Visitor, build_server

FILE: Final = Path(__file__).parent / "generated.json"


async def _nobody(headers: Mapping[str, str]) -> Visitor:
    raise RuntimeError("lists need no caller")


def make() -> str:
    """The file's text."""
    return json.dumps(asyncio.run(_collect(build_server(_nobody))), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


async def _collect(server: BridgeServer) -> dict[str, Any]:
    async with Client(server, mode="legacy") as client:
        made: dict[str, Any] = {"initialize": _handshake(client)}
    async with Client(server, mode="auto") as client:
        made["server/discover"] = _plain(client.session.discover_result)
        made["tools/list"] = _plain(await client.list_tools())
        made["prompts/list"] = _plain(await client.list_prompts())
        made["resources/templates/list"] = _plain(await client.list_resource_templates())
    return made


def _handshake(client: Client) -> dict[str, Any]:
    """The result of `initialize`, from what the client learned by it."""
    return {
        "protocolVersion": client.protocol_version,
        "capabilities": _plain(client.server_capabilities),
        "serverInfo": _plain(client.server_info),
        "instructions": client.instructions,
    }


def _plain(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


if __name__ == "__main__":
    FILE.write_text(make(), "utf-8")
