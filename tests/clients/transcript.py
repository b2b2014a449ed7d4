"""Play the steps that the docs show with the real client, and write down what happened: `python -m tests.clients.transcript`.

Names of this run (folders, ids, markers) become placeholders, so that every run writes the same page.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from mcp_bridge.relay import Hub, HubGone, call_json
from tests.clients.mock_model import Body, MockModel, say
from tests.clients.sessions import ROOT, ClaudeCode
from tests.support.waiting import eventually_sync

STEPS: Final = ROOT / "docs" / "how-to" / "reach-a-session.md"
PAGE: Final = ROOT / "docs" / "how-to" / "first-message.md"
LIMIT_S: Final = 60
TEXT: Final = "Please review the parser"
HEAD: Final = """# From setup to the first message

What the [four steps](reach-a-session.md) print, and what reaches the model. `python -m tests.clients.transcript` plays
them with the real Claude Code against a model on loopback and writes this page. CI plays them too, compares, and fails
when all of it takes a minute or more.

"""


def steps() -> list[list[str]]:
    """The commands under the page's step-by-step heading."""
    section = STEPS.read_text("utf-8").partition("## From setup to the other session")[2]
    block = re.search(r"```\n(.*?)```", section, re.DOTALL)
    assert block is not None
    return [shlex.split(line) for line in block[1].splitlines()]


class Play:
    """One user, one hub, one session; `lines` is what a reader would have seen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = MockModel(lambda _body: [say("understood")])
        self.claude = ClaudeCode(folder / "home", folder / "my-project", self.model.url)
        self.hub = Hub(folder / "home" / "bridge")
        self.lines: list[str] = []

    def run(self) -> float:
        """Play all steps; the seconds from the first command to the text in the session's request."""
        began = time.monotonic()
        for number, words in enumerate(steps()):
            self.lines.append(f"$ {shlex.join(words)}")
            if words == ["claude"]:
                self._session()
            else:
                self._command(words)
            if number == 2:
                eventually_sync(lambda: "claude-my-project" in self._members(), within_s=LIMIT_S, what="both are there")
        eventually_sync(lambda: self.model.having(TEXT), within_s=LIMIT_S, what="the text in a request")
        took_s = time.monotonic() - began
        self.lines += ["", "# in the next request of the session to its model:", *pushed(self.model.having(TEXT)[0])]
        return took_s

    def _command(self, words: list[str]) -> None:
        assert words[0] == "mcp-bridge"
        done = subprocess.run(
            [sys.executable, "-m", "mcp_bridge", *words[1:]],
            env=self.claude.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.lines += done.stdout.splitlines()

    def _session(self) -> None:
        self.claude.start()
        eventually_sync(self._there, within_s=LIMIT_S, what="the session is there")
        self.lines.append("# in the folder my-project; the other commands in another terminal")

    def _there(self) -> bool:
        try:
            return "claude-my-project" in str(call_json(self.hub.url(), self.hub.token(), "GET", "/v1/agents"))
        except HubGone:
            return False

    def _members(self) -> str:
        return str(call_json(self.hub.url(), self.hub.token(), "GET", "/v1/rooms/my-project/members"))

    def text(self) -> str:
        """The page, with this run's own names taken out."""
        shown = "\n".join(line.rstrip() for line in self.lines)
        shown = shown.replace(str(self.folder / "home"), "~").replace(str(self.folder), "~")
        shown = re.sub(r"\bm\d+-\d+\b", "m2-4", re.sub(r"\b[0-9a-f]{8,12}\b", "9f3a61c07be2", shown))
        return HEAD + f"```\n{shown}\n```\n"

    def close(self) -> None:
        self.claude.close()
        self.model.close()
        eventually_sync(self._stopped, what="the hub is stopped")

    def _stopped(self) -> bool:
        """Stops the hub, also one that a relay on its way out has just started."""
        if not self.hub.answers():
            return True
        os.kill(int(json.loads((self.hub.home / "hub.json").read_text())["pid"]), signal.SIGTERM)
        return False


def pushed(body: Body) -> list[str]:
    """The message as the bridge brought it into this request, in its envelope."""

    def texts(value: Any) -> list[str]:
        if isinstance(value, str):
            return [value]
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return [text for part in inner for text in texts(part)]

    text = next(text for text in texts(body["messages"]) if TEXT in text)
    brought = text[text.index("[bridge]") :].splitlines()
    return brought[: brought.index(brought[1], 2) + 1]


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        play = Play(Path(folder))
        try:
            took_s = play.run()
        finally:
            play.close()
        PAGE.write_text(play.text(), "utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {took_s:.1f} s")


if __name__ == "__main__":
    main()
