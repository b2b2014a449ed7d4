"""A real Gemini CLI in a home of its own, talking to the mock model."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.clients.terminal import run_in

ROOT = Path(__file__).parents[2]
GEMINI = Path(__file__).parent / "node_modules" / ".bin" / "gemini"
SETTINGS = """{
  // written before the bridge came
  "security": {"auth": {"selectedType": "gemini-api-key"}},
  "privacy": {"usageStatisticsEnabled": false},
  "general": {"enableAutoUpdate": false} /* keep */
}
"""


class Gemini:
    """The real client with settings of its own; the project is the folder `proj`."""

    def __init__(self, home: Path, project: Path, model_url: str) -> None:
        assert GEMINI.exists(), "Gemini CLI is missing; .ci/install installs it from tests/clients/package-lock.json"
        self.home, self.project = home, project
        self.settings = home / ".gemini" / "settings.json"
        self.settings.parent.mkdir(parents=True, exist_ok=True)
        project.mkdir(exist_ok=True)
        self.settings.write_text(SETTINGS)
        others = ("CLAUDE", "GEMINI", "GOOGLE", "BRIDGE_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        self.environment = kept | {
            "HOME": str(home),
            "GEMINI_API_KEY": "not-a-key",
            "GOOGLE_GEMINI_BASE_URL": model_url,
            "BRIDGE_HOME": str(home / "bridge"),
            "PYTHONPATH": str(ROOT),
        }

    def bridge(self, *arguments: str) -> str:
        """`mcp-bridge` as this user, in the project."""
        return self._run(sys.executable, "-m", "mcp_bridge", *arguments)

    def prompt(self, text: str) -> str:
        """One turn without a terminal, tools allowed; what it printed. A named model needs no request to choose one."""
        chosen = ("--approval-mode", "yolo", "--skip-trust", "--model", "gemini-2.5-flash")
        return self._run(str(GEMINI), *chosen, "--prompt", text)

    def fails(self, text: str) -> None:
        """One turn that comes to no good end."""
        chosen = ("--approval-mode", "yolo", "--skip-trust", "--model", "gemini-2.5-flash")
        assert run_in(self.project, self.environment, str(GEMINI), *chosen, "--prompt", text).returncode != 0

    def _run(self, *command: str) -> str:
        done = run_in(self.project, self.environment, *command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr
