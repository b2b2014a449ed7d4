"""Every module is reachable from an entry point: nothing exists that nothing uses."""

from __future__ import annotations

import ast
from pathlib import Path

from hub import features
from mcp_bridge import tools
from mcp_bridge.cli import COMMANDS

ROOT = Path(__file__).parents[2]
ENTRIES = ["mcp_bridge.__main__", "mcp_bridge.cli", "mcp_bridge.relay", "mcp_bridge.demo.agent", "mcp_bridge.generate"]
ENTRIES += [
    "mcp_bridge.push.listen",
    "mcp_bridge.reference",
    "hub.storage.postgres",
    "hub.sandbox.lite_child",
    "desktop_agent.holder",
]


def modules() -> dict[str, Path]:
    found = {}
    for package in ("hub", "mcp_bridge", "desktop_agent"):
        for path in (ROOT / package).rglob("*.py"):
            parts = list(path.relative_to(ROOT).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: set[str]) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found |= {name for name in names if name in known}
    return found


def test_every_module_is_reachable_from_an_entry_point() -> None:
    known = modules()
    waiting = [*ENTRIES, *(entry.split(":")[0] for entry, _ in COMMANDS.values())]
    waiting += [f"mcp_bridge.tools.{name}" for name in tools.FILES]
    parts = ("project", "entries", "guard", "handlers", "policies", "contract", "schema", "chores", "worker")
    waiting += [f"{part}.{name}" for part in features.ALL for name in parts]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in known and name not in seen:
            seen.add(name)
            waiting += imports(known[name], set(known))
            waiting.append(name.rpartition(".")[0])
    assert sorted(set(known) - seen - {"desktop_agent"}) == []
