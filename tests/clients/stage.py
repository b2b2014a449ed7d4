"""A stage for real Claude Code sessions: a hub, the mock model, and a session of agent `claude-proj` in room `proj`."""

from __future__ import annotations

import time
from pathlib import Path

from tests.clients.hub import HubAtHome
from tests.clients.mock_model import MockModel, say
from tests.clients.sessions import ClaudeCode
from tests.support.waiting import eventually_sync

AIM_S = 1.5


class Stage(HubAtHome):
    """A hub, a model, and a Claude Code session of agent `claude-proj` in room `proj`."""

    def __init__(self, tmp_path: Path) -> None:
        self.model = MockModel(lambda _body: [say("understood")])
        self.claude = ClaudeCode(tmp_path / "home", tmp_path / "proj", self.model.url)
        self.claude.set_up()
        super().__init__(self.claude.environment)
        self._start_hub()

    def open(self, *arguments: str) -> None:
        """Start the interactive session and wait until it can be pushed to."""
        self.claude.start(*arguments)
        eventually_sync(lambda: self.reach() == "push", within_s=60, what="the session is in the room")

    def reach(self) -> str:
        return self.reach_of("claude-proj")

    def via(self) -> str:
        """The best way into the session now."""
        return str(self.member("claude-proj").get("via", ""))

    def plugin(self, *without: str) -> list[str]:
        """Our plugin instead of our server, without these rungs: what to start the client with."""
        self.claude.bridge("setup", "claude-code", "--remove")
        market = self.claude.home / "market"
        left_out = [part for rung in without for part in ("--without", rung)]
        self.claude.bridge("setup", "--plugin", str(market), *left_out)
        return ["--plugin-dir", str(market / "bridge")]

    def arrives(self, text: str) -> float:
        """Seconds until the text is in a request body."""
        began = time.monotonic()
        eventually_sync(lambda: self.model.having(text), within_s=AIM_S * 10, what=f"{text} in a request to the model")
        return time.monotonic() - began

    def close(self) -> None:
        self.claude.close()
        self.stop_hub()
        self.model.close()
