"""The steps that the docs show, played as they stand there, with the real client."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mcp_bridge.relay import Hub, HubGone, call_json
from tests.clients.mock_model import MockModel, say
from tests.clients.sessions import ROOT, ClaudeCode
from tests.support.waiting import eventually_sync

pytestmark = [pytest.mark.client, pytest.mark.timeout(200)]
PAGE = ROOT / "docs" / "how-to" / "reach-a-session.md"
LIMIT_S = 60


def steps() -> list[list[str]]:
    """The commands under the page's step-by-step heading."""
    section = PAGE.read_text("utf-8").partition("## From setup to the other session")[2]
    block = re.search(r"```\n(.*?)```", section, re.DOTALL)
    assert block is not None
    return [shlex.split(line) for line in block[1].splitlines()]


def test_the_steps_in_the_docs_bring_the_text_to_the_model_in_under_a_minute(tmp_path: Path) -> None:
    setup, session, join, send = steps()
    assert session == ["claude"]
    model = MockModel(lambda _body: [say("understood")])
    claude = ClaudeCode(tmp_path / "home", tmp_path / "my-project", model.url)
    hub = Hub(tmp_path / "home" / "bridge")

    def run(words: list[str]) -> None:
        assert words[0] == "mcp-bridge"
        command = [sys.executable, "-m", "mcp_bridge", *words[1:]]
        done = subprocess.run(
            command, env=claude.environment, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def there() -> bool:
        try:
            return "claude-my-project" in str(call_json(hub.url(), hub.token(), "GET", "/v1/agents"))
        except HubGone:
            return False

    try:
        began = time.monotonic()
        run(setup)
        claude.start()
        eventually_sync(there, within_s=LIMIT_S, what="the session is there")
        run(join)
        eventually_sync(lambda: "claude-my-project" in members(hub), within_s=LIMIT_S, what="both are in the room")
        run(send)
        eventually_sync(lambda: model.having("Please review the parser"), within_s=LIMIT_S)
        assert time.monotonic() - began < LIMIT_S
    finally:
        claude.close()
        model.close()
        eventually_sync(lambda: gone(hub), what="the hub is stopped")


def members(hub: Hub) -> str:
    return str(call_json(hub.url(), hub.token(), "GET", "/v1/rooms/my-project/members"))


def gone(hub: Hub) -> bool:
    """Stops the hub, also one that a relay on its way out has just started."""
    if not hub.answers():
        return True
    os.kill(int(json.loads((hub.home / "hub.json").read_text())["pid"]), signal.SIGTERM)
    return False
