"""A session whose client is the test: a real relay and hub, and a gate between them at which calls can be held up."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from mcp_bridge.push.inbox_socket import PATH, TOKEN
from mcp_bridge.relay import call_json
from tests.faults.world import World
from tests.mcp.wire import Wire
from tests.push.test_socket import ROOT, Inbox
from tests.push.test_transcript import user
from tests.support.loopback import LoopbackServer
from tests.support.waiting import eventually_sync

Json = dict[str, Any]


class Gate(LoopbackServer):
    """What the relay takes for its hub. `before` and `after` are told of each call, and may take their time."""

    def __init__(self, target: str) -> None:
        self.before: Callable[[str, Json], None] = nothing
        self.after: Callable[[str, Json], None] = nothing
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

        self.serve(Handler)


def nothing(_path: str, _body: Json) -> None:
    return None


def calls(body: Json, tool: str) -> bool:
    return body.get("method") == "tools/call" and body["params"]["name"] == tool


class Place:
    """A session of bob that makes calls. With an inbox it is pushed to; its transcript says what the test writes into it."""

    def __init__(
        self, folder: Path, inbox: Inbox | None = None, *, via: str = "socket", modern: bool = False, **environment: str
    ) -> None:
        self.world = World(folder / "home")
        self.world.home.mkdir()
        self.world.start()
        self.gate = Gate(self.world.url)
        self.inbox = inbox
        (folder / "proj").mkdir()
        (folder / "user/.claude/projects/p").mkdir(parents=True)
        self._transcript = folder / "user/.claude/projects/p/s-1.jsonl"
        self._transcript.write_text("")
        env = {k: v for k, v in os.environ.items() if not k.startswith(("CLAUDE", "BRIDGE_"))}
        env |= {"BRIDGE_URL": self.gate.url, "BRIDGE_TOKEN": self.world.token, "BRIDGE_HOME": str(folder / "own")}
        env |= {"HOME": str(folder / "user"), "CLAUDE_CODE_SESSION_ID": "s-1", "PYTHONPATH": str(ROOT)} | environment
        if inbox is not None:
            env |= {PATH: inbox.path, TOKEN: "secret"}
        self.wire = Wire(env, folder / "proj", "--name", "bob", modern=modern, client="claude-code")
        self.wire.ask("tools/list")
        self.hub("POST", "/v1/rooms/proj/join", create=True)
        eventually_sync(lambda: self._bob().get("via") == via, within_s=60, what=f"bob can be reached by {via}")

    def hub(self, method: str, path: str, **body: Any) -> Json:
        return call_json(self.world.url, self.world.token, method, path, body or None)

    def _bob(self) -> Json:
        return next((m for m in self.hub("GET", "/v1/rooms/proj/members")["items"] if m["agent"] == "bob"), {})

    def post(self, text: str) -> str:
        return str(self.hub("POST", "/v1/rooms/proj/messages", text=text, to=["bob"])["id"])

    def state(self, message: str) -> str:
        """How far a message got with bob."""
        return str(self.hub("GET", f"/v1/rooms/proj/messages/{message}/receipts")["receipts"][0]["state"])

    def pushed(self) -> str:
        assert self.inbox is not None
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
