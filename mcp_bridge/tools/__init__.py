"""MCP tools, one small file per theme. They know contracts only and reach the hub through a `Caller`."""

from importlib import import_module
from typing import Final

# one line per file; the order is the order of `tools/list`
FILES: Final = [
    "rooms",
    "messages",
    "voting",
    "queues",
    "kanban",
    "runs",
    "files",
    "reservations",
    "github",
]


def load() -> None:
    """Import every tool file, so that `toolbox.TOOLS` is complete."""
    for name in FILES:
        import_module(f"{__name__}.{name}")
