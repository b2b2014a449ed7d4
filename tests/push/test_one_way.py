"""One message, one way, however calls and pushes overlap: a real relay and hub, and a gate between them that can wait."""

from __future__ import annotations

import http.client
import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mcp_bridge.push.inbox_socket import PATH, TOKEN
from mcp_bridge.relay import call_json
from tests.faults.world import World
from tests.mcp.wire import Wire
from tests.push.test_socket import ROOT, Inbox
from tests.push.test_transcript import user
from tests.support.waiting import eventually_sync

PUSHED_S = 3.0  # a push takes a tenth of it
Json = dict[str, Any]


class Gate:
    """What the relay takes for its hub. `before` and `after` are told of each call, and may take their time."""

    def __init__(self, target: str) -> None:
        self.before: Callable[[str, Json], None] = _nothing
        self.after: Callable[[str, Json], None] = _nothing
        gate, address = self, target.removeprefix("http://")

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                return None

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                told = json.loads(body) if body else {}
                gate.before(self.path, told)
                link = http.client.HTTPConnection(address, timeout=60)
                try:
                    kept = {k: v for k, v in self.headers.items() if k.lower() != "host"}
                    link.request(self.command, self.path, body, kept)
                    answer = link.getresponse()
                    self.send_response(answer.status)
                    self.send_header("content-type", answer.getheader("content-type") or "")
                    self.end_headers()
                    if self.path.startswith("/v1/attend"):
                        while data := answer.read1():
                            self.wfile.write(data)
                    else:
                        data = answer.read()
                        gate.after(self.path, told)
                        self.wfile.write(data)
                except (OSError, http.client.HTTPException):
                    return
                finally:
                    link.close()

            def do_GET(self) -> None:
                self._pass_on()

            def do_POST(self) -> None:
                self._pass_on()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _nothing(_path: str, _body: Json) -> None:
    return None


def calls(body: Json, tool: str) -> bool:
    return body.get("method") == "tools/call" and body["params"]["name"] == tool


class Place:
    """A session of bob that is pushed to and makes calls; its transcript says what the test writes into it."""

    def __init__(self, folder: Path, inbox: Inbox, *, modern: bool = False) -> None:
        self.world = World(folder / "home")
        self.world.home.mkdir()
        self.world.start()
        self.gate = Gate(self.world.url)
        self.inbox = inbox
        (folder / "proj").mkdir()
        (folder / "user/.claude/projects/p").mkdir(parents=True)
        self._transcript = folder / "user/.claude/projects/p/s-1.jsonl"
        self._transcript.write_text("")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CLAUDE", "BRIDGE_"))}
        told = {"BRIDGE_URL": self.gate.url, "BRIDGE_TOKEN": self.world.token, "CLAUDE_CODE_SESSION_ID": "s-1"}
        env = kept | told | {"BRIDGE_HOME": str(folder / "own"), "HOME": str(folder / "user"), "PYTHONPATH": str(ROOT)}
        env |= {PATH: inbox.path, TOKEN: "secret"}
        self.wire = Wire(env, folder / "proj", "--name", "bob", modern=modern)
        self.wire.ask("tools/list")
        self.hub("POST", "/v1/rooms/proj/join", create=True)
        eventually_sync(lambda: self._bob().get("reach") == "push", within_s=60, what="bob can be pushed to")

    def hub(self, method: str, path: str, **body: Any) -> Json:
        return call_json(self.world.url, self.world.token, method, path, body or None)

    def _bob(self) -> Json:
        return next((m for m in self.hub("GET", "/v1/rooms/proj/members")["items"] if m["agent"] == "bob"), {})

    def post(self, text: str) -> str:
        return str(self.hub("POST", "/v1/rooms/proj/messages", text=text, to=["bob"])["id"])

    def pushed(self) -> str:
        return "\n".join(self.inbox.texts)

    def is_pushed(self, text: str) -> None:
        """Wait until the client has it, and writes down that it will show it."""
        eventually_sync(lambda: text in self.pushed(), within_s=20, what=f"{text!r} in the inbox socket")
        with self._transcript.open("a") as file:
            file.write(json.dumps(user(self.pushed())) + "\n")

    def close(self) -> None:
        self.wire.close()
        self.gate.close()
        self.world.end()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    yield made
    made.close()


@pytest.fixture
def place(tmp_path: Path, inbox: Inbox, request: pytest.FixtureRequest) -> Iterator[Place]:
    made = Place(tmp_path, inbox, modern=getattr(request, "param", False))
    yield made
    made.close()


@pytest.mark.parametrize("tool", ["poll", "join"])
def test_what_an_open_call_is_about_to_show_is_not_pushed_meanwhile(place: Place, tool: str) -> None:
    """As after a hub's restart: the message comes while the call is on its way, and its answer takes long."""

    def post(_path: str, body: Json) -> None:
        if calls(body, tool):
            place.gate.before = _nothing
            place.post("once only")

    def hold(_path: str, body: Json) -> None:
        if calls(body, tool):
            threading.Event().wait(PUSHED_S)

    place.gate.before, place.gate.after = post, hold
    shown = place.wire.tool(tool, **({"room": "proj"} if tool == "join" else {}))
    assert json.dumps(shown).count("once only") == 1
    place.post("and then")
    place.is_pushed("and then")
    assert "once only" not in place.pushed()


def test_what_was_read_for_a_push_and_then_shown_by_a_call_is_not_pushed(place: Place) -> None:
    read, go_on = threading.Event(), threading.Event()

    def hold(path: str, _body: Json) -> None:
        if path.startswith("/v1/inbox?") and not read.is_set():
            read.set()
            go_on.wait(30)

    place.gate.after = hold
    place.post("once only")
    assert read.wait(30)
    assert "once only" in json.dumps(place.wire.tool("poll"))
    go_on.set()
    place.post("and then")
    place.is_pushed("and then")
    assert "once only" not in place.pushed()


def test_what_is_on_its_way_into_the_session_is_in_no_poll(place: Place) -> None:
    place.post("once only")
    place.is_pushed("once only")
    assert "once only" not in json.dumps(place.wire.tool("poll"))
    place.world.end()
    place.world.start()
    assert "once only" not in json.dumps(place.wire.tool("poll")), "nor in one of the hub's next life"


@pytest.mark.parametrize("place", [True], indirect=True)
def test_a_waiting_task_brings_nothing_that_is_on_its_way_and_goes_on_waiting(place: Place) -> None:
    """The message is pushed while the model thinks, and the model's answer is a call that waits."""
    place.post("once only")
    place.is_pushed("once only")
    wait = {"name": "poll", "arguments": {"wait_s": 60}}
    task = place.wire.ask("tools/call", tasks=True, **wait)["taskId"]
    for _ in range(3):
        assert not threading.Event().wait(0.3)
        assert place.wire.ask("tasks/get", tasks=True, taskId=task)["status"] == "working"
    place.post("and then")

    def done() -> Json:
        found = place.wire.ask("tasks/get", tasks=True, taskId=task)
        return found if found["status"] == "completed" else {}

    result = eventually_sync(done, what="the task brings the next message")["result"]
    assert [m["text"] for m in result["structuredContent"]["messages"]] == ["and then"]
    assert place.pushed().count("once only") == 1
    assert "and then" not in place.pushed()


@pytest.mark.parametrize("place", [True], indirect=True)
def test_a_task_that_its_client_forgot_for_a_while_does_not_show_what_was_pushed_meanwhile(place: Place) -> None:
    task = place.wire.ask("tools/call", tasks=True, name="poll", arguments={"wait_s": 60})["taskId"]
    first = place.post("once only")
    place.hub("POST", "/v1/rooms/proj/messages", text="to nobody")
    place.is_pushed("once only")
    found = place.wire.ask("tasks/get", tasks=True, taskId=task)
    assert found["status"] == "completed"
    assert "once only" not in json.dumps(found)
    assert first not in json.dumps(found)
    assert "cursor" not in found["result"]["structuredContent"], "it would acknowledge what the push has still to bring"
    place.wire.tool("who")
    assert place.hub("GET", f"/v1/rooms/proj/messages/{first}/receipts")["receipts"][0]["state"] != "seen"
