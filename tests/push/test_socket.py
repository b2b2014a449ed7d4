"""The inbox socket, played by a stand-in: what is written, what stays unproven, where the token does not go."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mcp_bridge.push.inbox_socket import PATH, TOKEN, InboxSocket
from mcp_bridge.push.pusher import Pusher
from mcp_bridge.push.ways import PushFailed
from mcp_bridge.relay import call_json
from tests.faults.world import World
from tests.support.waiting import eventually_sync

ROOT = Path(__file__).parents[2]


class Inbox:
    """A session's inbox socket that only records."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="inbox-")  # short: a socket's path has at most 107 bytes
        self.path = f"{self.folder}/s"
        self.frames: list[Any] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.path)
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            link, _ = self._socket.accept()
            with link, link.makefile("rb") as file:
                found = [json.loads(line) for line in file]
            if not found:
                return
            self.frames += found

    @property
    def texts(self) -> list[str]:
        return [str(frame["message"]["content"]) for frame in self.frames if frame["type"] == "user"]

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(self.path)
        self._thread.join(5)
        self._socket.close()
        shutil.rmtree(self.folder)


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    yield made
    made.close()


def test_a_push_authenticates_first_and_then_speaks(inbox: Inbox) -> None:
    InboxSocket(inbox.path, "secret").push("hello")
    eventually_sync(lambda: inbox.texts)
    assert inbox.frames == [
        {"type": "auth", "token": "secret"},
        {"type": "user", "message": {"role": "user", "content": "hello"}},
    ]


def test_taking_the_socket_leaves_no_token_for_children() -> None:
    environment = {PATH: "/s", TOKEN: "secret", "OTHER": "1"}
    assert InboxSocket.take(environment) is not None
    assert environment == {"OTHER": "1"}
    assert InboxSocket.take({PATH: "/s", TOKEN: "secret", "BRIDGE_PUSH_SOCKET": "0"}) is None
    assert "secret" not in repr(InboxSocket("/s", "secret"))


def test_a_socket_that_is_gone_fails_and_the_message_is_not_counted_as_shown(tmp_path: Path) -> None:
    with pytest.raises(PushFailed):
        InboxSocket(str(tmp_path / "gone"), "secret").push("hello")
    page = {"messages": [entry(1)], "cursor": "c", "waking": ["m1-1"]}
    notes: list[str] = []
    pusher = Pusher(
        {"socket": InboxSocket(str(tmp_path / "gone"), "t")}, lambda _path: page, lambda: False, notes.append
    )
    assert [pusher.once(), pusher.once()] == [False, False]
    assert len(notes) == 2, "the second try must offer the message again"


def test_a_message_goes_one_way_only(inbox: Inbox) -> None:
    page = {"messages": [entry(1)], "cursor": "c", "waking": ["m1-1"]}
    waiting = True
    pusher = Pusher({"socket": InboxSocket(inbox.path, "t")}, lambda _path: page, lambda: waiting, print)
    assert not pusher.once(), "an open call brings it"
    waiting = False
    assert [pusher.once(), pusher.once()] == [True, False]


def entry(number: int) -> dict[str, Any]:
    return {"id": f"m1-{number}", "room": "build", "from": "ada", "text": f"word {number}"}


class Log:
    """A hub's inbox of `count` messages; those in `waking` may wake. Cursors are numbers."""

    def __init__(self, count: int, waking: set[int]) -> None:
        self.count, self.waking = count, waking

    def read(self, path: str) -> dict[str, Any]:
        query = parse_qs(urlsplit(path).query)
        start, limit = int(query.get("after", ["0"])[0]), int(query["limit"][0])
        numbers = range(start + 1, min(start + limit, self.count) + 1)
        return {
            "messages": [entry(n) for n in numbers],
            "cursor": str(numbers[-1] if numbers else start),
            "has_more": numbers.stop <= self.count,
            "waking": [f"m1-{n}" for n in numbers if n in self.waking],
        }


class Recorder:
    """A way that takes everything."""

    works = True
    most_chars = 48_000

    def __init__(self) -> None:
        self.texts: list[str] = []

    def push(self, text: str, marker: str = "") -> None:
        self.texts.append(text)

    def forget(self, marker: str) -> None:
        return None


def pushed(inbox: Inbox) -> list[str]:
    return re.findall(r"^id (m1-\d+) from", "\n".join(inbox.texts), re.MULTILINE)


def test_every_message_is_pushed_once_though_the_model_acknowledges_none(inbox: Inbox) -> None:
    log = Log(0, set(range(1, 101)))
    pusher = Pusher({"socket": InboxSocket(inbox.path, "t")}, log.read, lambda: False, print)
    for count in range(1, 101):
        log.count = count
        assert pusher.once()
    eventually_sync(lambda: len(inbox.texts) == 100)
    assert pushed(inbox) == [f"m1-{n}" for n in range(1, 101)]


def test_what_concerns_a_session_far_behind_is_pushed_and_cannot_acknowledge_what_was_passed_over(inbox: Inbox) -> None:
    log = Log(90, {85})
    pusher = Pusher({"socket": InboxSocket(inbox.path, "t")}, log.read, lambda: False, print)
    assert pusher.once()
    assert not pusher.once()
    eventually_sync(lambda: inbox.texts)
    assert "m1-85" in pushed(inbox)
    assert "ack=" not in inbox.texts[0]


def test_a_long_row_of_pushes_stays_within_what_the_client_takes() -> None:
    """A client's allowance of 30 writes, and one more every 2 s, is never overdrawn, however long messages come."""
    now = 0.0
    log = Log(0, set(range(1, 201)))
    pusher = Pusher({"socket": Recorder()}, log.read, lambda: False, print, clock=lambda: now)
    credit, before = 30.0, 0.0
    for log.count in range(1, 201):
        now = max(now, pusher.free_at)
        assert pusher.once()
        credit = min(30.0, credit + (now - before) / 2) - 1
        before = now
        assert credit >= 0, f"write {log.count} at {now} s would be dropped"
    assert now < 200 * 2.5


class Session:
    """A relay whose client is the test; `inbox` is where it pushes."""

    def __init__(self, world: World, project: Path, inbox: Inbox, client: str = "t") -> None:
        project.mkdir()
        env = os.environ | {"BRIDGE_HOME": str(world.home), "PYTHONPATH": str(ROOT), PATH: inbox.path, TOKEN: "secret"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mcp_bridge", "mcp", "--name", "bob"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            cwd=project,
        )
        self._ask(
            "initialize",
            {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": client, "version": "1"}},
        )
        self._ask("tools/list", {})

    def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        frame = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self.process.stdin.write(json.dumps(frame).encode() + b"\n")
        self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = self._ask("tools/call", {"name": tool, "arguments": arguments})["result"]
        return result

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def test_what_only_went_into_the_socket_is_never_reported_as_seen(tmp_path: Path, inbox: Inbox) -> None:
    """The model is cut off: nobody reads the socket's text. Only the acknowledgement that the text asks for proves it."""
    world = World(tmp_path / "home")
    world.home.mkdir()
    world.start()
    session = Session(world, tmp_path / "proj", inbox)
    try:

        def hub(method: str, path: str, **body: Any) -> dict[str, Any]:
            return call_json(world.url, world.token, method, path, body or None)

        eventually_sync(lambda: "bob" in json.dumps(hub("GET", "/v1/agents")))
        hub("POST", "/v1/rooms/proj/join", create=True)

        def bob() -> dict[str, Any]:
            return next(m for m in hub("GET", "/v1/rooms/proj/members")["items"] if m["agent"] == "bob")

        eventually_sync(lambda: bob()["reach"] == "push", what="who shows that bob can be pushed to")
        sent = hub("POST", "/v1/rooms/proj/messages", text="look here", to=["bob"])
        eventually_sync(lambda: inbox.texts)
        assert "look here" in inbox.texts[0]

        def state() -> str:
            return str(hub("GET", f"/v1/rooms/proj/messages/{sent['id']}/receipts")["receipts"][0]["state"])

        assert state() in ("queued", "delivered")
        ack = inbox.texts[0].partition('ack="')[2].partition('"')[0]
        polled = session.call("poll", ack=ack)["structuredContent"]
        assert not polled.get("messages"), "pushed and acknowledged: not again"
        assert state() == "seen"
        assert len(inbox.texts) == 1
        session.call("join", room="proj", wake="all")
        hub("POST", "/v1/rooms/proj/messages", text="by the way")
        eventually_sync(lambda: len(inbox.texts) == 2, what="a room set to wake always wakes")
        assert "by the way" in inbox.texts[1]
    finally:
        session.close()
        world.end()


def test_another_client_inside_a_claude_code_session_pushes_nothing_into_it(tmp_path: Path, inbox: Inbox) -> None:
    world = World(tmp_path / "home")
    world.home.mkdir()
    world.start()
    session = Session(world, tmp_path / "proj", inbox, client="codex-mcp-client")
    try:

        def hub(method: str, path: str, **body: Any) -> dict[str, Any]:
            return call_json(world.url, world.token, method, path, body or None)

        eventually_sync(lambda: "bob" in json.dumps(hub("GET", "/v1/agents")))
        hub("POST", "/v1/rooms/proj/join", create=True)

        def via() -> str | None:
            members = hub("GET", "/v1/rooms/proj/members")["items"]
            return next((m.get("via") for m in members if m["agent"] == "bob"), None)

        assert eventually_sync(via, what="the session says how it is reached") == "result"
        hub("POST", "/v1/rooms/proj/messages", text="for codex only", to=["bob"])
        eventually_sync(lambda: "for codex only" in json.dumps(session.call("who")), what="the next result brings it")
        assert inbox.texts == []
    finally:
        session.close()
        world.end()
