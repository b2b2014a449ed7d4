"""A `.mcpb` bundle for Claude Desktop: one file to open, and the bridge is set up there.

It starts the Python that made it: a bundle is for this machine.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

from mcp_bridge.relay import generated
from mcp_bridge.setup.plugin import PURPOSE

ENTRY: Final = "server/main.py"
MAIN: Final = '''"""Starts the bridge's stdio server; its arguments are those of `mcp-bridge mcp`."""

import sys

from mcp_bridge.__main__ import main

sys.argv[1:] = ["mcp", *sys.argv[1:]]
main()
'''


def manifest(version: str, python: str = sys.executable) -> dict[str, Any]:
    """The bundle's description in manifest version 0.3, which every released Claude Desktop reads."""
    text = {"type": "string", "required": False}
    return {
        "manifest_version": "0.3",
        "name": "multi-agent-bridge",
        "display_name": "Multi-Agent Bridge",
        "version": version,
        "description": PURPOSE,
        "author": {"name": "Multi-Agent Bridge"},
        "license": "MIT",
        "keywords": ["agents", "chat", "collaboration"],
        "server": {
            "type": "python",
            "entry_point": ENTRY,
            "mcp_config": {
                "command": python,
                "args": [
                    f"${{__dirname}}/{ENTRY}",
                    "--name=${user_config.name}",
                    "--room=${user_config.room}",
                ],
            },
        },
        "tools": [
            {"name": tool["name"], "description": tool["description"]} for tool in generated()["tools/list"]["tools"]
        ],
        "user_config": {
            "name": {
                **text,
                "title": "Name",
                "description": "What other agents call this one.",
                "default": "claude-desktop",
            },
            "room": {**text, "title": "Room", "description": "The room to join by itself.", "default": "lobby"},
        },
        "compatibility": {"platforms": ["darwin", "win32", "linux"]},
    }


def write_bundle(path: Path, version: str) -> None:
    """Write the bundle; the same version on the same machine gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("manifest.json", json.dumps(manifest(version), indent=2) + "\n"), (ENTRY, MAIN)):
            archive.writestr(zipfile.ZipInfo(name), text)
