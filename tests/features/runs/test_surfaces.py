"""The same run asked for over HTTP, WebSocket, MCP, the typed client and the command line; and a hub that is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from hub.client import HubClient
from hub.features.runs.contract import CancelRun, GetRun, ListRuns, Run, StartRun
from hub.kernel.agents.contract import EnterAgent
from hub.kernel.inbox.contract import ReadEvents
from hub.kernel.rooms.contract import CreateRoom, JoinRoom, UpdateRoom
from hub.settings import Settings
from mcp_bridge.serve import Served, serving
from tests.faults.world import World
from tests.mcp.test_relay import ROOT, stop_hub
from tests.sandbox.test_engines import marked
from tests.support.waiting import eventually, eventually_sync

CODE = "import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(3)"
EXPECTED = ("failed", 3, "out\n", "err\n")


@pytest.fixture
async def served(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Served]:
    async with serving(Settings(home=tmp_path, port=0, log_level="error")) as made:
        async with HubClient(made.url, made.token) as local:
            await local.call(CreateRoom(room="lab", open_to="owner"))
            await local.call(UpdateRoom(room="lab", runs=True))
        yield made


async def entered(served: Served) -> str:
    """Token of an agent that entered as a relay of this person's does; it may run without further ado."""
    async with HubClient(served.url, served.token) as local:
        token = (await local.call(EnterAgent(name="ada", kind="code", identity="0123456789abcdef"))).token
    assert token is not None
    async with HubClient(served.url, token) as agent:
        await agent.call(JoinRoom(room="lab"))
    return token


@pytest.mark.anyio
async def test_a_run_over_plain_http(served: Served) -> None:
    headers = {"authorization": f"Bearer {await entered(served)}"}
    async with httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=60) as http:
        asked = {"language": "python", "code": CODE}
        started = await eventually(lambda: _created(http, asked), what="the sandbox is tested")
        done = (await http.get(f"/v1/rooms/lab/runs/{started['id']}", params={"wait_s": 30})).json()
        assert (done["state"], done["exit_code"], done["stdout"], done["stderr"]) == EXPECTED
        wrong = await http.post("/v1/rooms/lab/runs", json={"language": "perl", "code": "1"})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid")


async def _created(http: httpx2.AsyncClient, asked: dict[str, str]) -> Any:
    answer = await http.post("/v1/rooms/lab/runs", json=asked)
    assert answer.status_code in (201, 503), answer.text
    return answer.json() if answer.status_code == 201 else None


@pytest.mark.anyio
async def test_a_run_over_the_typed_client(served: Served) -> None:
    async with HubClient(served.url, await entered(served)) as client:
        started = await client.call(StartRun(room="lab", language="python", code=CODE))
        done = await client.call(GetRun(room="lab", run=started.id, wait_s=30))
        assert (done.state, done.exit_code, done.stdout, done.stderr) == EXPECTED
        again = StartRun(room="lab", language="python", code=CODE)
        ids = {(await client.call(again, key="same")).id for _ in range(2)}
        assert len(ids) == 1


@pytest.mark.anyio
async def test_a_run_over_mcp(served: Served) -> None:
    http = httpx2.AsyncClient(headers={"authorization": f"Bearer {await entered(served)}"}, timeout=60)
    async with http, Client(streamable_http_client(f"{served.url}/mcp", http_client=http)) as client:
        asked = {"language": "python", "code": CODE, "room": "lab"}
        answer = await client.call_tool("run_code", asked)
        assert answer.structured_content is not None
        done = answer.structured_content
        assert (done["state"], done["exit_code"], done["stdout"], done["stderr"]) == EXPECTED
        later = await client.call_tool("run_code", {**asked, "code": "import time; time.sleep(50)", "wait_s": 0})
        assert later.structured_content is not None
        one = {"run": later.structured_content["id"], "room": "lab"}
        await client.call_tool("run_code", {**one, "action": "cancel"})
        ended = await client.call_tool("run_code", one)
        assert ended.structured_content is not None
        assert ended.structured_content["state"] == "cancelled"


@pytest.mark.anyio
async def test_a_run_over_one_websocket_with_its_output_live(served: Served) -> None:
    headers = {"authorization": f"Bearer {await entered(served)}"}
    code = "print('first', flush=True)\nimport time\ntime.sleep(60)"
    asked = {"id": 2, "op": "runs.start", "room": "lab", "language": "python", "code": code}
    async with websockets.connect(f"ws{served.url[4:]}/v1/ws", additional_headers=headers) as socket:
        await socket.send(json.dumps({"id": 1, "op": "subscribe", "cursors": {"lab": None}}))
        await socket.send(json.dumps(asked))
        seen: dict[str, Any] = {}
        async with asyncio.timeout(30):
            while seen.get("final") is None:
                frame = json.loads(await socket.recv())
                if frame.get("re") == 2 and "problem" in frame:  # the sandbox is being tested
                    await socket.send(json.dumps(asked))
                elif frame.get("re") == 2:
                    seen["id"] = frame["ok"]["id"]
                elif "signal" in frame:
                    seen["signal"] = frame["signal"]
                    await socket.send(json.dumps({"id": 3, "op": "runs.cancel", "room": "lab", "run": seen["id"]}))
                elif frame.get("event", {}).get("type") == "run.finished":
                    seen["final"] = frame["event"]["data"]
    expected = {"type": "run.output", "room": "lab", "run": seen["id"], "stream": "stdout", "offset": 0}
    assert seen["signal"] == {**expected, "text": "first\n"}
    assert (seen["final"]["status"], seen["final"]["stdout"]) == ("cancelled", "first\n")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A data directory with a running hub whose room `lab` has runs on."""
    world = World(tmp_path / "home")
    world.home.mkdir()
    world.start()
    command(world.home, "rooms", "join", "lab", "--create")
    command(world.home, "rooms", "set", "lab", "--runs")
    yield world.home
    stop_hub(world.home)
    world.end(signal.SIGTERM)


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "BRIDGE_HOME": str(home), "PYTHONPATH": str(ROOT)}


def command(home: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mcp_bridge", *arguments],
        input=text,
        capture_output=True,
        text=True,
        env=environment(home),
        timeout=60,
        check=False,
    )


def test_the_command_line_shows_output_as_it_comes_and_ends_with_the_scripts_exit_code(
    home: Path, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(CODE)
    done = command(home, "run", str(tmp_path / "script.py"), "--room", "lab")
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    piped = command(home, "run", "-", "--room", "lab", "--language", "bash", "--json", text="echo $((6 * 7))")
    shown = json.loads(piped.stdout)
    assert (piped.returncode, shown["stdout"], shown["state"]) == (0, "42\n", "succeeded")
    slow = command(home, "run", "-", "--room", "lab", "--language", "bash", "--timeout-s", "1", text="sleep 60")
    assert (slow.returncode, slow.stderr) == (1, "mcp-bridge: the run is killed. ended by the hub: timeout\n")
    unknown = command(home, "run", "-", "--room", "lab", text="x")
    assert (unknown.returncode, "--language python, javascript or bash" in unknown.stderr) == (2, True)


def test_output_is_on_the_terminal_before_the_script_ends(home: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\nprint('soon', flush=True)\ntime.sleep(50)")
    arguments = [sys.executable, "-m", "mcp_bridge", "run", str(tmp_path / "slow.py"), "--room", "lab", "--timeout-s"]
    process = subprocess.Popen([*arguments, "60"], stdout=subprocess.PIPE, env=environment(home))
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"soon\n"
        assert process.poll() is None
        process.send_signal(signal.SIGINT)  # Ctrl-C cancels the run
        assert process.wait(30) == 130
        process.stdout.close()
    finally:
        process.kill()
        process.wait()
    listed = json.loads(command(home, "call", "runs.list", '{"room": "lab"}').stdout)
    assert listed["items"][0]["state"] in ("cancelled", "running")
    run = json.dumps({"room": "lab", "run": listed["items"][0]["id"], "wait_s": 30})
    assert json.loads(command(home, "call", "runs.get", run).stdout)["state"] == "cancelled"


@pytest.mark.anyio
async def test_a_killed_hub_leaves_no_process_and_its_next_start_reports_the_run_once_as_interrupted(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "home")
    world.home.mkdir()
    world.start()
    mark = uuid.uuid4().hex
    try:
        async with HubClient(home=world.home) as local:
            await local.call(CreateRoom(room="lab"))
            await local.call(UpdateRoom(room="lab", runs=True))
            code = f"(exec -a {mark} sleep 60) & setsid bash -c 'exec -a {mark} sleep 60' & exec -a {mark} sleep 60"
            started = await local.call(StartRun(room="lab", language="bash", code=code, timeout_s=60))
            await eventually(lambda: len(marked(mark)) >= 3, what="the run is going, daemons included")
        world.end(signal.SIGKILL)
        eventually_sync(lambda: not marked(mark), what="no process of the run is left")
        world.start()
        async with HubClient(home=world.home) as local:
            over: Run = await local.call(GetRun(room="lab", run=started.id, wait_s=30))
            assert (over.state, over.exit_code) == ("interrupted", None)
            events = (await local.call(ReadEvents(room="lab", limit=500))).items
            assert [e["data"]["status"] for e in events if e["type"] == "run.finished"] == ["interrupted"]
            assert [run.id for run in (await local.call(ListRuns(room="lab"))).items] == [started.id]
            assert (await local.call(CancelRun(room="lab", run=started.id))).state == "interrupted"
    finally:
        world.end(signal.SIGTERM)
