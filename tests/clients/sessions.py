"""A real Claude Code in a pseudo-terminal, in a home of its own, talking to the mock model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.clients.terminal import Terminal, run_in
from tests.support.waiting import eventually_sync

ROOT = Path(__file__).parents[2]
CLAUDE = Path(__file__).parent / "node_modules" / ".bin" / "claude"


class ClaudeCode:
    """One session of the real client; `home` is shared by sessions of one user."""

    def __init__(self, home: Path, project: Path, model_url: str) -> None:
        assert CLAUDE.exists(), "Claude Code is missing; .ci/install installs it from tests/clients/package-lock.json"
        self.home, self.project = home, project
        self._terminal: Terminal | None = None
        home.mkdir(exist_ok=True)
        project.mkdir(exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CLAUDE", "ANTHROPIC", "BRIDGE_"))}
        self.environment = kept | {
            "HOME": str(home),
            "ANTHROPIC_BASE_URL": model_url,
            "ANTHROPIC_API_KEY": "sk-ant-dummy-0000000000000000000000000000000000000000",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "BRIDGE_HOME": str(home / "bridge"),
            "BRIDGE_HUB_WAIT_S": "60",
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
        }
        self._config()

    def _config(self) -> None:
        """What a user has answered before: first run, key, trust. Plus our server."""
        file = self.home / ".claude.json"
        config = json.loads(file.read_text()) if file.exists() else {}
        config |= {
            "hasCompletedOnboarding": True,
            "theme": "dark",
            "customApiKeyResponses": {"approved": [self.environment["ANTHROPIC_API_KEY"][-20:]], "rejected": []},
        }
        config.setdefault("projects", {})[str(self.project)] = {
            "hasTrustDialogAccepted": True,
            "hasCompletedProjectOnboarding": True,
            "allowedTools": [],
        }
        file.write_text(json.dumps(config))

    def run(self, *arguments: str, within_s: float = 100) -> subprocess.CompletedProcess[str]:
        """A command of the client that ends by itself."""
        return run_in(self.project, self.environment, str(CLAUDE), *arguments, within_s=within_s)

    def set_up(self) -> None:
        """What a user does once."""
        self.bridge("setup", "claude-code")

    def bridge(self, *arguments: str) -> None:
        """`mcp-bridge` as this user, in the project."""
        done = run_in(self.project, self.environment, sys.executable, "-m", "mcp_bridge", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, *arguments: str) -> None:
        """An interactive session."""
        self._terminal = Terminal([str(CLAUDE), *arguments], self.environment, self.project)

    @property
    def screen(self) -> bytes:
        """What the session has shown."""
        return bytes(self._terminal.screen) if self._terminal else b""

    def type(self, text: str) -> None:
        assert self._terminal is not None
        self._terminal.type(text)

    def enter(self, text: str) -> None:
        """Type a prompt and send it; what comes at once is taken for a paste."""
        self.type(text)
        eventually_sync(lambda: text in self.shown(), what=f"{text!r} in the prompt")
        self.type("\r")

    def shown(self) -> str:
        """What the terminal has shown, without its control sequences."""
        return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", self.screen).decode("utf-8", "replace")

    def close(self) -> None:
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None
