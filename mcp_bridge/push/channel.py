"""Rung `channel`: a notification of our own server that the client shows its model. Off unless BRIDGE_PUSH_CHANNEL=1.

Not verified with a real session: Claude Code takes channels only where a flag of its maker's allows it, and only over the
older protocol, so with this rung on we refuse the newer one (and with it the tasks extension). No answer ever comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mcp_bridge.push.ways import PushFailed

CAPABILITY: Final = "claude/channel"
METHOD: Final = "notifications/claude/channel"
MOST_CHARS: Final = 8_000


class Channel:
    """Writes a notification into the link to the client; `write` says whether it went out."""

    most_chars = MOST_CHARS

    def __init__(self, write: Callable[[dict[str, Any]], bool], linked: Callable[[], bool]) -> None:
        self._write = write
        self._linked = linked

    @property
    def works(self) -> bool:
        """Over the older protocol, once it has shaken hands."""
        return self._linked()

    def push(self, text: str, marker: str = "") -> None:
        params = {"content": text, "meta": {"digest": marker}}  # names there are letters, digits and underscores
        if not self._write({"jsonrpc": "2.0", "method": METHOD, "params": params}):
            raise PushFailed("the client is gone")

    def forget(self, marker: str) -> None:
        return None
