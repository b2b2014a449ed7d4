"""Each way in which a client's configuration can be broken is found, named, and comes with its fix."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mcp_bridge.commands.doctor import check_clients
from mcp_bridge.doctor.check import Check
from mcp_bridge.setup.clients import CLIENTS, Place
from tests.faults.world import World
from tests.mcp.test_relay import ROOT, stop_hub

pytestmark = pytest.mark.anyio
COMMAND = [sys.executable, "-m", "mcp_bridge", "mcp"]
FOREIGN = """import json, sys
for line in sys.stdin:
    frame = json.loads(line)
    if "id" in frame:
        known = {"initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                                "serverInfo": {"name": "other", "version": "1"}},
                 "tools/list": {"tools": [{"name": "other", "inputSchema": {"type": "object"}}]}}
        answer = {"result": known[frame["method"]]} if frame["method"] in known else {
            "error": {"code": -32601, "message": "unknown"}}
        print(json.dumps({"jsonrpc": "2.0", "id": frame["id"], **answer}), flush=True)
"""


@dataclass
class User:
    """A user with a running hub and clients of their own."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        return Place(self.home, os.environ, "linux", self.home / "proj")

    def set_up(self, client: str, url: str | None = None, **changed: Any) -> Path:
        """What `setup` writes, with changes to the entry."""
        target = CLIENTS[client].targets(self.place, CLIENTS[client].scopes[0], COMMAND, url)[0]
        entry = {**target.entry, **changed}
        target.path.parent.mkdir(parents=True, exist_ok=True)
        target.path.write_text(type(target)(target.path, target.section, entry, target.toml).put(""))
        return target.path

    async def check(self, client: str) -> Check:
        [found] = await check_clients([client], self.place)
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One hub for all of these: they only look."""
    made = World(tmp_path_factory.mktemp("world") / "bridge")
    made.home.mkdir()
    made.start()
    yield made
    stop_hub(made.home)
    made.end(signal.SIGTERM)


@pytest.fixture
def user(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    for name in [name for name in os.environ if name.startswith(("BRIDGE_", "CODEX", "CLAUDE"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BRIDGE_HOME", str(world.home))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "proj").mkdir()
    return User(tmp_path)


def names(world: World) -> list[str]:
    running = json.loads((world.home / "hub.json").read_text())
    token = (world.home / "token").read_text().strip()
    answer = httpx2.get(f"{running['url']}/v1/agents", headers={"authorization": f"Bearer {token}"})
    return [agent["name"] for agent in answer.json()["items"]]


@pytest.mark.parametrize("client", ["claude-code", "codex", "gemini"])
async def test_a_client_that_is_set_up_gets_a_message_and_leaves_no_ghost(
    world: World, user: User, client: str
) -> None:
    user.set_up(client)
    found = await user.check(client)
    assert found.fine, found
    assert "a message to it arrived" in found.found
    assert "reach" in found.found
    assert not [name for name in names(world) if "doctor" in name]


async def test_a_client_whose_entry_does_not_pass_the_hub_on_is_told_so(user: User) -> None:
    user.set_up("claude-desktop", env={"BRIDGE_HOME": str(user.home / "elsewhere")})
    found = await user.check("claude-desktop")
    stop_hub(user.home / "elsewhere")
    assert not found.fine
    assert "another hub" in found.found
    assert "BRIDGE_HOME" in found.fix


async def test_a_command_that_is_gone_is_named(user: User) -> None:
    path = user.set_up("cursor", command="/opt/gone/mcp-bridge")
    assert await user.check("cursor") == Check(
        "cursor (user)", False, f"{path}: /opt/gone/mcp-bridge is not there", "mcp-bridge setup cursor"
    )


async def test_a_bare_command_that_is_not_on_the_path_is_named(user: User) -> None:
    user.set_up("vscode", command="mcp-bridge-that-nobody-has")
    found = await user.check("vscode")
    assert not found.fine
    assert "PATH" in found.fix


async def test_a_command_that_fails_is_quoted(user: User) -> None:
    user.set_up("cursor", command=sys.executable, args=["-c", "import sys; sys.exit('no module named bridge')"])
    found = await user.check("cursor")
    assert not found.fine
    assert "it said: no module named bridge" in found.found
    assert found.fix == "mcp-bridge setup cursor"


async def test_another_server_under_our_name_is_told_apart(user: User) -> None:
    (user.home / "other.py").write_text(FOREIGN)
    user.set_up("cursor", command=sys.executable, args=[str(user.home / "other.py")])
    found = await user.check("cursor")
    assert "another server answers under the name bridge" in found.found
    assert "rename" in found.fix


async def test_an_entry_without_command_or_address_is_named(user: User) -> None:
    user.set_up("gemini", command="")
    assert "neither a command nor an address" in (await user.check("gemini")).found


async def test_a_file_that_is_not_valid_is_named(user: User) -> None:
    path = user.set_up("gemini")
    path.write_text(path.read_text() + "}")
    found = await user.check("gemini")
    assert not found.fine
    assert str(path) in found.found
    assert "by hand" in found.fix


async def test_an_entry_of_the_wrong_kind_is_named(user: User) -> None:
    path = user.set_up("gemini")
    path.write_text('{"mcpServers": {"bridge": ["mcp-bridge"]}}')
    assert "should be an object" in (await user.check("gemini")).found


async def test_a_client_that_is_not_set_up_is_told_how(user: User) -> None:
    assert await user.check("gemini") == Check(
        "gemini", False, "Gemini CLI is not set up", "mcp-bridge setup gemini", optional=False
    )


async def test_over_http_its_own_token_brings_a_message(
    world: World, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_TOKEN", (world.home / "token").read_text().strip())
    user.set_up("claude-code", url(world))
    found = await user.check("claude-code")
    assert found.fine, found
    assert "written and read back" in found.found


async def test_over_http_a_token_that_is_not_set_is_named(world: World, user: User) -> None:
    user.set_up("codex", url(world))
    found = await user.check("codex")
    assert "BRIDGE_TOKEN is not set" in found.found
    assert "mcp-bridge agents register" in found.fix


async def test_over_http_a_token_that_is_not_valid_is_named(
    world: World, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_TOKEN", "mab_wrong")
    user.set_up("cursor", url(world))
    assert "does not accept the token" in (await user.check("cursor")).found


async def test_over_http_an_address_where_nobody_answers_is_named(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_TOKEN", "x")
    user.set_up("gemini", "http://127.0.0.1:9")
    found = await user.check("gemini")
    assert "nothing answers at http://127.0.0.1:9/mcp" in found.found
    assert "start that hub" in found.fix


def url(world: World) -> str:
    return str(json.loads((world.home / "hub.json").read_text())["url"])
