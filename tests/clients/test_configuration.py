"""The real clients read what `mcp-bridge setup` wrote."""

from __future__ import annotations

import json
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


def test_claude_code_reads_the_local_scope_and_a_hub_over_http(tmp_path: Path) -> None:
    claude = str(BIN / "claude")
    bridge(tmp_path, "setup", "claude-code", "--scope", "local")
    assert "Local config" in run(tmp_path, claude, "mcp", "get", "bridge")
    bridge(tmp_path, "setup", "claude-code", "--scope", "local", "--remove")
    bridge(tmp_path, "setup", "claude-code", "--url", "http://127.0.0.1:9")
    shown = run(tmp_path, claude, "mcp", "get", "bridge")
    assert "http://127.0.0.1:9/mcp" in shown
    assert "Type: http" in shown


def test_claude_code_accepts_and_installs_the_plugin(tmp_path: Path) -> None:
    claude = str(BIN / "claude")
    bridge(tmp_path, "setup", "--plugin", "market")
    for folder in ("market", "market/bridge"):
        assert "passed" in run(tmp_path, claude, "plugin", "validate", "--strict", folder)
    run(tmp_path, claude, "plugin", "marketplace", "add", str(tmp_path / "market"))
    run(tmp_path, claude, "plugin", "install", "bridge@multi-agent-bridge")
    found = run(tmp_path, claude, "plugin", "details", "bridge@multi-agent-bridge")
    for part in ("working-together", "inbox", "standup", "handoff"):
        assert part in found, found
    assert "plugin:bridge:bridge" in run(tmp_path, claude, "mcp", "list")


def test_the_validator_refuses_a_plugin_with_a_fault(tmp_path: Path) -> None:
    bridge(tmp_path, "setup", "--plugin", "market")
    manifest = tmp_path / "market" / "bridge" / ".claude-plugin" / "plugin.json"
    manifest.write_text(manifest.read_text().replace('"name"', '"nam"'))
    with pytest.raises(AssertionError):
        run(tmp_path, str(BIN / "claude"), "plugin", "validate", "--strict", "market/bridge")


def test_the_bundle_is_valid_and_its_server_answers(tmp_path: Path) -> None:
    mcpb = str(BIN / "mcpb")
    assert (BIN / "mcpb").exists(), "mcpb is missing; .ci/install installs it"
    bridge(tmp_path, "setup", "--bundle", "bridge.mcpb")
    run(tmp_path, mcpb, "unpack", "bridge.mcpb", "unpacked")
    assert "passes" in run(tmp_path, mcpb, "validate", "unpacked")
    config = json.loads((tmp_path / "unpacked" / "manifest.json").read_text())["server"]["mcp_config"]
    values = {"__dirname": str(tmp_path / "unpacked"), "user_config.name": "desk", "user_config.room": "lobby"}
    command = [config["command"], *config["args"]]
    for name, value in values.items():
        command = [part.replace(f"${{{name}}}", value) for part in command]
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "claude-ai", "version": "1"}}
    frame = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    done = subprocess.run(
        command,
        input=json.dumps(frame) + "\n",
        env=os.environ | {"PYTHONPATH": str(ROOT), "BRIDGE_HOME": str(tmp_path / "bridge")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert json.loads(done.stdout)["result"]["serverInfo"]["name"], done.stderr
