"""The real clients read what `mcp-bridge setup` wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.client
ROOT = Path(__file__).parents[2]
BIN = Path(__file__).parent / "node_modules" / ".bin"


def run(home: Path, *command: str) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CLAUDE", "CODEX", "BRIDGE_"))}
    env |= {"HOME": str(home), "BRIDGE_HOME": str(home / "bridge"), "PYTHONPATH": str(ROOT)}
    env["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = "1"
    done = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def bridge(home: Path, *arguments: str) -> str:
    return run(home, sys.executable, "-m", "mcp_bridge", *arguments)


@pytest.mark.parametrize(("client", "program"), [("claude-code", "claude"), ("codex", "codex")])
def test_a_real_client_lists_the_server_after_setup_and_not_after_remove(
    tmp_path: Path, client: str, program: str
) -> None:
    shown = str(BIN / program)
    assert (BIN / program).exists(), f"{program} is missing; .ci/install installs it"
    bridge(tmp_path, "setup", client)
    assert "bridge" in run(tmp_path, shown, "mcp", "get", "bridge")
    bridge(tmp_path, "setup", client, "--remove")
    assert "mcp-bridge" not in run(tmp_path, shown, "mcp", "list")
