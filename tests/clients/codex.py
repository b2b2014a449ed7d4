"""A real Codex in a home of its own, talking to the mock model over the Responses API."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.clients.terminal import Terminal, run_in

ROOT = Path(__file__).parents[2]
CODEX = Path(__file__).parent / "node_modules" / ".bin" / "codex"
CONFIG = """# written before the bridge came
model = "mock" # keep
model_provider = "mock"

[model_providers.mock]
name = "Mock"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "MOCK_KEY"

[features]
daemon_auto_start = false

[projects."{project}"]
trust_level = "trusted"
"""


class Codex:
    """The real client with a configuration of its own; the project is the folder `proj`."""

    def __init__(self, home: Path, project: Path, model_url: str) -> None:
        assert CODEX.exists(), "Codex is missing; .ci/install installs it from tests/clients/package-lock.json"
        self.home, self.project = home, project
        self._terminal: Terminal | None = None
        self.config = home / ".codex" / "config.toml"
        self.hooks = self.config.with_name("hooks.json")
        self.config.parent.mkdir(parents=True, exist_ok=True)
        project.mkdir(exist_ok=True)
        self.config.write_text(CONFIG.format(url=model_url, project=project))
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CODEX", "OPENAI", "CLAUDE", "BRIDGE_"))}
        self.environment = kept | {
            "HOME": str(home),
            "CODEX_HOME": str(self.config.parent),
            "MOCK_KEY": "not-a-key",
            "BRIDGE_HOME": str(home / "bridge"),
            "PYTHONPATH": str(ROOT),
        }

    def bridge(self, *arguments: str) -> str:
        """`mcp-bridge` as this user, in the project."""
        return self._run(sys.executable, "-m", "mcp_bridge", *arguments)

    def exec(self, *arguments: str) -> str:
        """One turn without a terminal; what it printed."""
        return self._run(str(CODEX), "exec", "--skip-git-repo-check", *arguments)

    def run(self, *arguments: str) -> str:
        """Another command of the client that ends by itself."""
        return self._run(str(CODEX), *arguments)

    def start(self, *arguments: str) -> None:
        """An interactive session."""
        self._terminal = Terminal([str(CODEX), *arguments], self.environment, self.project)

    def type(self, text: str) -> None:
        assert self._terminal is not None
        self._terminal.type(text)

    @property
    def screen(self) -> bytes:
        return bytes(self._terminal.screen) if self._terminal else b""

    def close(self) -> None:
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None

    def _run(self, *command: str) -> str:
        done = run_in(self.project, self.environment, *command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr
