"""The stdio relay: real processes, real clients of both eras, hubs that come and go."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import Implementation, RequestParamsMeta

from hub.client import HubClient
from hub.core.slug import slug
from hub.kernel.agents.contract import ListAgents
from hub.kernel.rooms.contract import ListMembers
from mcp_bridge import generate
from mcp_bridge.relay import SETTLE_S, Hub, call_json
from tests.faults.world import World
from tests.mcp.conftest import call
from tests.mcp.wire import Wire
from tests.support.waiting import eventually, eventually_sync

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]


def environment(home: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "BRIDGE_HOME": str(home), "PYTHONPATH": str(ROOT), **more}


def stop_hub(home: Path, name: signal.Signals = signal.SIGTERM) -> None:
    """End the hub of a data directory, if one runs."""
    try:
        pid = json.loads((home / "hub.json").read_text())["pid"]
        os.kill(pid, name)
    except (OSError, ValueError):
        return
    eventually_sync(
        lambda: not Path(f"/proc/{pid}/stat").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text(), within_s=15
    )


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A data directory whose hub is ended afterwards."""
    yield tmp_path / "home"
    stop_hub(tmp_path / "home")


class Sessions:
    """MCP clients over stdio, each with a relay process of its own."""

    def __init__(self, home: Path, project: Path, mode: Literal["auto", "legacy"]) -> None:
        self.home = home
        self.project = project
        self.mode = mode
        self._stack = AsyncExitStack()

    async def open(self, *arguments: str, client: str = "", **more: str) -> Client:
        parameters = StdioServerParameters(
            command=sys.executable,
            args=["-m", "mcp_bridge", "mcp", *arguments],
            env=environment(self.home, **more),
            cwd=str(self.project),
        )
        info = Implementation(name=client, version="1") if client else None
        made = Client(stdio_client(parameters), mode=self.mode, client_info=info)
        return await self._stack.enter_async_context(made)

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture(params=["auto", "legacy"])
async def sessions(
    home: Path, tmp_path: Path, request: pytest.FixtureRequest, anyio_backend: str
) -> AsyncIterator[Sessions]:
    project = tmp_path / "My Project"
    project.mkdir()
    made = Sessions(home, project, request.param)
    try:
        yield made
    finally:
        await made.close()


async def test_two_sessions_talk_in_their_projects_room_without_any_setup(sessions: Sessions) -> None:
    ada, ben = await sessions.open("--name", "ada"), await sessions.open("--name", "ben")
    assert len((await ada.list_tools()).tools) >= 6
    sent = await call(ada, "send", text="hello")
    assert sent["room"] == "my-project"
    await call(ada, "ask", text="there?", to="my-project", wait_s=0)
    await call(ben, "who")
    asked = await call(ada, "send", text="for ben", to=["ben"])
    assert [m["text"] for m in (await call(ben, "poll", wait_s=10))["messages"]] == ["for ben"]
    await call(ben, "who")
    receipts = (await call(ada, "who", message=asked["id"]))["receipts"]
    assert receipts[0]["state"] == "seen", "the next call proves that the result had been written out"


async def test_a_hub_killed_between_calls_costs_no_message_and_no_ceremony(sessions: Sessions) -> None:
    ada, ben = await sessions.open("--name", "ada"), await sessions.open("--name", "ben")
    await call(ben, "who")
    sent = await call(ada, "send", text="before")
    stop_hub(sessions.home, signal.SIGKILL)
    after = await call(ada, "send", text="after")
    assert after["room"] == sent["room"]
    texts = [m["text"] for m in (await call(ben, "poll", wait_s=10))["messages"]]
    assert texts == ["before", "after"]


async def test_without_a_hub_the_tool_says_that_nothing_is_confirmed(sessions: Sessions, tmp_path: Path) -> None:
    session = await sessions.open(BRIDGE_URL="http://127.0.0.1:9", BRIDGE_TOKEN="mab_1_x", BRIDGE_HUB_WAIT_S="1")
    result = await session.call_tool("send", {"text": "x", "room": "build"})
    assert result.is_error
    text = getattr(result.content[0], "text", "")
    assert "NOT confirmed" in text
    assert "mcp-bridge up" in text


async def test_the_name_stays_over_restarts_and_two_sessions_get_two(sessions: Sessions) -> None:
    first, second = await sessions.open(), await sessions.open()
    one, two = (await call(first, "who"))["you"], (await call(second, "who"))["you"]
    assert one != two
    await sessions.close()
    again = await sessions.open()
    assert (await call(again, "who"))["you"] in (one, two)


@pytest.mark.parametrize("sessions", ["legacy"], indirect=True)
async def test_a_resumed_codex_session_is_the_agent_it_was(sessions: Sessions) -> None:
    """Codex names its session in each call; two sessions come back in the other order."""

    async def who(session: Client, thread: str) -> tuple[str, str]:
        answer = await session.call_tool("who", {}, meta=cast("RequestParamsMeta", {"threadId": thread}))
        data = answer.structured_content or {}
        return str(data["you"]), str(data.get("note", ""))

    threads = [f"01a215ff-f978-7e81-ad58-0708ce248d5{number}" for number in (1, 2)]
    before = [(await who(await sessions.open(client="codex-mcp-client"), thread))[0] for thread in threads]
    assert before[0] == "codex-my-project"
    await sessions.close()
    back = await sessions.open(client="codex-mcp-client")
    await back.list_tools()
    await eventually(lambda: seats_taken(sessions.home), within_s=30, what="it has a seat before its first call")
    name, note = await who(back, threads[1])
    assert name == before[1]
    assert f"you are {name}, in room my-project" in note
    assert (await who(await sessions.open(client="codex-mcp-client"), threads[0]))[0] == before[0]


def seats_taken(home: Path) -> bool:
    """Whether a process holds a seat."""
    for path in (home / "slots").iterdir():
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
    return False


async def test_a_session_that_ends_leaves_no_ghost(sessions: Sessions) -> None:
    ada = await sessions.open("--name", "ada")
    await call(ada, "who")
    info = json.loads((sessions.home / "hub.json").read_text())

    async def presence() -> str:
        async with HubClient(info["url"], (sessions.home / "token").read_text()) as client:
            members = (await client.call(ListMembers(room="my-project"))).items
            return next(m.presence for m in members if m.agent == "ada")

    async def is_(state: str) -> bool:
        return await presence() == state

    await eventually(lambda: is_("online"))
    await sessions.close()
    await eventually(lambda: is_("offline"), within_s=5)


async def test_a_probe_that_ends_at_once_registers_nobody(home: Path, tmp_path: Path) -> None:
    frames = [
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {"protocolVersion": "2025-11-25", "capabilities": {}},
        },
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    ]
    text = "".join(json.dumps(frame) + "\n" for frame in frames)
    done = subprocess.run(
        [sys.executable, "-m", "mcp_bridge", "mcp"],
        input=text.encode(),
        capture_output=True,
        env=environment(home),
        cwd=tmp_path,
        timeout=20,
    )
    assert len(done.stdout.splitlines()) == 2
    assert not (home / "hub.json").exists(), "a probe does not even start a hub"


def test_hostile_frames_get_an_error_each_and_the_relay_lives(home: Path, tmp_path: Path) -> None:
    lines = [
        b"not json\n",
        b"[1,2]\n",
        b'"x"\n',
        b'{"id":1}\n',
        b'{"jsonrpc":"2.0","id":2,"method":5}\n',
        b'{"jsonrpc":"2.0","id":3,"method":"ping","params":[]}\n',
        b"[" * 100_000 + b"\n",
        b"\xff\xfe\n",
        b'{"jsonrpc":"2.0","id":9,"method":"ping"}\n',
    ]
    done = subprocess.run(
        [sys.executable, "-m", "mcp_bridge", "mcp"],
        input=b"".join(lines),
        capture_output=True,
        env=environment(home),
        cwd=tmp_path,
        timeout=20,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers[-1] == {"jsonrpc": "2.0", "id": 9, "result": {}}
    assert all("error" in answer for answer in answers[:-1])
    assert len(answers) == len(lines)


def test_a_session_whose_hub_came_late_is_in_its_room_without_a_call(home: Path, tmp_path: Path) -> None:
    world = World(home)
    home.mkdir()
    world.start()
    world.end()
    told = {"BRIDGE_URL": world.url, "BRIDGE_TOKEN": world.token, "BRIDGE_HUB_WAIT_S": "0.2"}
    wire = Wire(environment(tmp_path / "own", **told), tmp_path, "--name", "bob")
    try:
        wire.ask("tools/list")
        assert not threading.Event().wait(SETTLE_S + 1.5), "it has looked for its hub, and found none"
        world.start()
        members = f"/v1/rooms/{slug(tmp_path.name)}/members"

        def there() -> bool:
            try:
                return "bob" in json.dumps(call_json(world.url, world.token, "GET", members))
            except ValueError:
                return False

        eventually_sync(there, within_s=30, what="bob is in the room")
    finally:
        wire.close()
        world.end()


def test_what_answers_at_a_dead_hubs_address_is_not_taken_for_the_hub(home: Path, tmp_path: Path) -> None:
    """Killed, it leaves its file; its port may be another user's by now, who must not be told our token."""
    other = World(tmp_path / "other")
    other.home.mkdir()
    other.start()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    home.mkdir()
    (home / "hub.json").write_text(json.dumps({"url": other.url, "pid": ended.pid, "version": "1"}))
    try:
        assert not Hub(home).answers()
        assert Hub(home, other.url, "token").answers(), "there somebody answers"
    finally:
        other.end()


def test_the_commands_that_need_no_hub_start_without_what_talks_to_one(home: Path) -> None:
    code = (
        "import sys, mcp_bridge.cli, mcp_bridge.commands.setup;"
        "heavy = {'mcp', 'pydantic', 'starlette', 'uvicorn', 'httpx2', 'anyio'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(home), timeout=60)


def test_the_first_frame_is_answered_before_anything_heavy_is_imported(home: Path, tmp_path: Path) -> None:
    code = (
        "import sys, mcp_bridge.relay as r; r.generated();"
        "heavy = {'mcp', 'pydantic', 'starlette', 'uvicorn', 'httpx2', 'anyio'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(home), timeout=20)


def test_the_generated_lists_are_what_the_server_says() -> None:
    assert generate.FILE.read_text("utf-8") == generate.make(), "run: python -m mcp_bridge.generate"


async def test_agents_registered_by_sessions_belong_to_the_local_user(sessions: Sessions) -> None:
    await call(await sessions.open("--name", "ada"), "who")
    info: dict[str, Any] = json.loads((sessions.home / "hub.json").read_text())
    async with HubClient(info["url"], (sessions.home / "token").read_text()) as client:
        agents = {a.name: (a.kind, a.owner) for a in (await client.call(ListAgents())).items}
    assert agents["ada"] == ("code", "local")


def first_frame_s(home: Path, project: Path) -> float:
    """Seconds from start to the answer of the first frame."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "mcp_bridge", "mcp"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(home),
        cwd=project,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{}}\n')
    process.stdin.flush()
    process.stdout.readline()
    took = time.perf_counter() - began
    process.stdin.close()
    process.wait(5)
    process.stdout.close()
    return took
