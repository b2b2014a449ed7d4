"""The command line as a person meets it: a real hub, real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_bridge.commands.up import typed
from tests.faults.world import World
from tests.mcp.test_relay import ROOT, stop_hub


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A data directory with a running hub."""
    world = World(tmp_path / "home")
    world.home.mkdir()
    world.start()
    yield world.home
    stop_hub(world.home)
    world.end(signal.SIGTERM)


def bridge(home: Path, *arguments: str, text: str = "", code: int = 0, **more: str) -> str:
    """Run a command; its output. Fails unless it ends with `code`."""
    env = {**os.environ, "BRIDGE_HOME": str(home), "PYTHONPATH": str(ROOT), **more}
    done = subprocess.run(
        [sys.executable, "-m", "mcp_bridge", *arguments],
        input=text,
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_rooms_messages_search_and_polling_from_a_terminal(home: Path) -> None:
    bridge(home, "rooms", "join", "lobby", "--create")
    sent = json.loads(bridge(home, "send", "lobby", "hello world", "--json"))
    assert bridge(home, "send", "lobby", text="from a pipe\n").startswith("m")
    again = json.loads(bridge(home, "send", "lobby", "once", "--key", "k", "--json"))
    assert json.loads(bridge(home, "send", "lobby", "once", "--key", "k", "--json"))["id"] == again["id"]
    assert "hello world" in bridge(home, "search", "hello")
    assert "lobby" in bridge(home, "rooms", "list")
    token = bridge(home, "agents", "register", "ada").strip()
    assert token.startswith("mab_")
    assert "ada" in bridge(home, "agents", "list")
    bridge(home, "send", "@ada", "psst")
    assert "psst" in bridge(home, "poll", BRIDGE_TOKEN=token)
    assert "nothing new" in bridge(home, "poll", BRIDGE_TOKEN=token)
    called = json.loads(bridge(home, "call", "messages.find", json.dumps({"message": sent["id"]})))
    assert called["message"]["text"] == "hello world"


def test_a_room_from_a_template_has_a_board_to_work_on(home: Path, tmp_path: Path) -> None:
    assert "Stop the damage" in bridge(home, "rooms", "templates")
    assert "board show outage" in bridge(home, "rooms", "new", "outage", "--template", "incident")
    shown = bridge(home, "rooms", "show", "outage")
    assert "First stop the damage" in shown
    assert "channels: general, timeline, updates" in shown
    taken = bridge(home, "board", "take", "outage", "--role", "coder", "--column", "doing")
    assert "Stop the damage" in taken
    assert "doing (1 of 3)" in bridge(home, "board", "show", "outage")
    exported = tmp_path / "board.md"
    exported.write_text(bridge(home, "board", "export", "outage"), "utf-8")
    bridge(home, "rooms", "new", "drill")
    assert "added 6 cards" in bridge(home, "board", "import", "drill", str(exported))
    assert "use NAME, NAME=LIMIT or NAME!" in bridge(home, "board", "columns", "drill", "todo=x", code=2)
    assert "[column-in-use]" in bridge(home, "board", "columns", "drill", "todo", "done!", code=1)


def test_wrong_use_says_what_to_do_and_has_its_exit_code(home: Path, tmp_path: Path) -> None:
    assert "Did you mean 'send'" in bridge(home, "sned", code=2)
    assert "not found" in bridge(home, "send", "nowhere", "x", code=1)
    assert "did you mean messages.post" in bridge(home, "call", "messages.pots", code=1)
    assert "another hub is using" in bridge(home, "up", "--port", "0", code=3)
    assert "mcp-bridge up" in bridge(tmp_path / "empty", "rooms", "list", code=1)
    assert "unknown variable BRIDGE_NONSENSE" in bridge(home, "up", code=2, BRIDGE_NONSENSE="1")
    taken = json.loads((home / "hub.json").read_text("utf-8"))["url"].rsplit(":", 1)[1]
    told = bridge(tmp_path / "second", "up", "--port", taken, code=2)
    assert "Choose another port with --port" in told
    assert "Traceback" not in told
    assert "--tls-cert" in bridge(tmp_path / "open", "up", "--host", "0.0.0.0", code=2)


def test_ops_lists_every_operation_with_handler_and_tool(home: Path) -> None:
    rows = json.loads(bridge(home, "ops", "--json"))
    by_name = {row["operation"]: row for row in rows}
    assert by_name["messages.post"]["tool"] == "send"
    for row in rows:
        file, line = row["handler"].split(":")
        assert (ROOT / file).read_text().splitlines()[int(line) - 1].startswith("@")
        assert (ROOT / row["doc"].split("#")[0]).exists()


def test_the_first_screen_names_the_command_as_it_can_be_typed_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert typed(tmp_path / ".venv" / "bin" / "mcp-bridge") == str(Path(".venv/bin/mcp-bridge"))
    assert typed(Path("/usr/local/bin/mcp-bridge")) == "mcp-bridge"


def test_help_explains_every_command(home: Path) -> None:
    text = bridge(home, "--help")
    for name in ("up", "send", "poll", "tail", "search", "rooms", "agents", "call", "ops", "doctor", "mcp"):
        assert f"  {name} " in text


def test_doctor_finds_everything_well_and_says_what_is_not(home: Path, tmp_path: Path) -> None:
    report = bridge(home, "doctor")
    assert report.count("✓") >= 8
    assert "✗" not in report
    broken = bridge(
        tmp_path / "none", "doctor", code=1, BRIDGE_URL="http://127.0.0.1:9", BRIDGE_TOKEN="x", BRIDGE_HUB_WAIT_S="1"
    )
    assert "→" in broken


def test_a_backup_taken_under_load_restores_with_a_gap_for_readers(home: Path, tmp_path: Path) -> None:
    bridge(home, "rooms", "join", "lobby", "--create")
    bridge(home, "send", "lobby", "kept")
    page = json.loads(bridge(home, "call", "events.read", '{"room": "lobby"}'))
    copy = tmp_path / "copy.db"
    assert "checked" in bridge(home, "admin", "backup", str(copy))
    assert "never overwrites" in bridge(home, "admin", "backup", str(copy), code=2)
    bridge(home, "send", "lobby", "lost")
    assert "another hub" in bridge(home, "admin", "restore", str(copy), "--yes", code=3)
    exported = [json.loads(line) for line in bridge(home, "admin", "export", "lobby").splitlines()]
    assert [e["seq"] for e in exported] == list(range(1, len(exported) + 1))
    stop_hub(home)
    assert "restored" in bridge(home, "admin", "restore", str(copy), "--yes")
    world = World(home)
    world.start()
    again = json.loads(bridge(home, "call", "events.read", json.dumps({"room": "lobby", "cursor": page["cursor"]})))
    assert [g["reason"] for g in again["gaps"]] == ["epoch"]
    assert "kept" in str(again["items"])
    assert "lost" not in str(again["items"])
    bridge(home, "send", "lobby", "a mistake")
    assert "another hub" in bridge(home, "admin", "import", str(copy), "lobby", "--yes", code=3)
    world.end(signal.SIGTERM)
    assert "events are back" in bridge(home, "admin", "import", str(copy), "lobby", "--yes")
    assert "room lobby" in bridge(home, "admin", "rebuild")
    assert "checked" in bridge(home, "admin", "compact")
    assert "a mistake" not in bridge(home, "admin", "export", "lobby")
