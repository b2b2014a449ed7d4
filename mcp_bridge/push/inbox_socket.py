"""Rung `socket`: the inbox socket of a Claude Code session (2.1.270 and newer), written by its own stdio child.

The line format is what that client prints, not what it documents: everything about it is in this file, and
BRIDGE_PUSH_SOCKET=0 switches it off. A successful write proves nothing: no reply ever comes, and beyond an allowance
the client drops what is written.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field

from mcp_bridge.push.digest import ALL_CHARS
from mcp_bridge.push.ways import PushFailed

PATH = "CLAUDE_CODE_MESSAGING_SOCKET"
TOKEN = "CLAUDE_CODE_MESSAGING_TOKEN"  # noqa: S105  the name of a variable
MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class InboxSocket:
    """One session's inbox. The token stays in this process: it is taken out of the environment.

    Programs started inside a session inherit where its inbox is: `mine` says whether our client is that session.
    """

    path: str
    token: str = field(repr=False)
    mine: Callable[[], bool] = field(default=lambda: True, compare=False)

    @classmethod
    def take(cls, environment: MutableMapping[str, str]) -> InboxSocket | None:
        """The session's inbox, when the client offers one and the switch is on; children never see the token."""
        path, token = environment.pop(PATH, ""), environment.pop(TOKEN, "")
        if not path or not token or not hasattr(socket, "AF_UNIX"):
            return None
        return None if environment.get("BRIDGE_PUSH_SOCKET") == "0" else cls(path, token)

    @property
    def works(self) -> bool:
        return self.mine()

    @property
    def most_chars(self) -> int:
        return ALL_CHARS

    def forget(self, marker: str) -> None:
        return None

    def push(self, text: str, marker: str = "", timeout_s: float = 3) -> None:
        """Write one message into the session. Raises PushFailed."""
        frames = [
            {"type": "auth", "token": self.token},
            {"type": "user", "message": {"role": "user", "content": text}},
        ]
        data = b"".join(json.dumps(frame).encode() + b"\n" for frame in frames)
        if len(data) > MOST_BYTES:
            raise PushFailed("the digest is too long for one line")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
                link.settimeout(timeout_s)
                link.connect(self.path)
                link.sendall(data)
                link.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise PushFailed(f"{type(error).__name__}: {error}") from error
