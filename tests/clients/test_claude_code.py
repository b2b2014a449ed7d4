"""The real Claude Code: a message to a session is in the next request that the session sends to its model."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mcp_bridge.relay import Hub, HubGone, call_json
from tests.clients.mock_model import Block, Body, MockModel, say, use
from tests.clients.sessions import ClaudeCode
from tests.support.waiting import eventually_sync

pytestmark = [pytest.mark.client, pytest.mark.timeout(300)]
AIM_S = 1.5
TRIES = 20


class Stage:
    """A hub, a model, and a Claude Code session of agent `claude-proj` in room `proj`."""

    def __init__(self, tmp_path: Path) -> None:
        self.model = MockModel(lambda _body: [say("understood")])
        self.claude = ClaudeCode(tmp_path / "home", tmp_path / "proj", self.model.url)
        self.claude.set_up()
        self._hub = Hub(tmp_path / "home" / "bridge")
        self._start_hub()

    def hub(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return call_json(self._hub.url(), self._hub.token(), method, path, body)

    def end_hub(self, name: signal.Signals = signal.SIGKILL) -> None:
        """End the hub; a session that notices starts it again, and so does `restart`."""
        pid = int(json.loads((self._hub.home / "hub.json").read_text())["pid"])
        os.kill(pid, name)
        eventually_sync(lambda: not self._hub.answers())

    def _start_hub(self) -> None:
        """As a relay does it; in a process of its own, so that the hub is no child of the tests."""
        code = "import sys, pathlib; from mcp_bridge.relay import Hub; Hub(pathlib.Path(sys.argv[1])).ensure()"
        command = [sys.executable, "-c", code, str(self._hub.home)]
        subprocess.run(command, env=self.claude.environment, check=True, timeout=60)

    def restart(self) -> None:
        self.end_hub()
        self._start_hub()

    def open(self, *arguments: str) -> None:
        """Start the interactive session and wait until it can be pushed to."""
        self.claude.start(*arguments)
        eventually_sync(lambda: self.reach() == "push", within_s=60, what="the session is in the room")

    def reach(self) -> str:
        try:
            self.hub("POST", "/v1/rooms/proj/join", {"create": True})
            members = self.hub("GET", "/v1/rooms/proj/members")["items"]
        except (HubGone, ValueError):
            return ""
        return next((str(m["reach"]) for m in members if m["agent"] == "claude-proj"), "")

    def send(self, text: str, *to: str) -> str:
        """Send as the local user; tried again with the same key until the hub answers."""
        headers = {"authorization": f"Bearer {self._hub.token()}", "idempotency-key": uuid.uuid4().hex}

        def once() -> str:
            try:
                answer = httpx2.post(
                    f"{self._hub.url()}/v1/rooms/proj/messages", json={"text": text, "to": to}, headers=headers
                )
            except (httpx2.TransportError, HubGone):
                return ""
            return str(answer.json()["id"]) if answer.status_code == 201 else ""

        return str(eventually_sync(once, within_s=30))

    def arrives(self, text: str) -> float:
        """Seconds until the text is in a request body."""
        began = time.monotonic()
        eventually_sync(lambda: self.model.having(text), within_s=AIM_S * 10, what=f"{text} in a request to the model")
        return time.monotonic() - began

    def close(self) -> None:
        self.claude.close()
        eventually_sync(self._ended, what="the session's relay is gone, so nothing starts the hub again")
        self.model.close()

    def _ended(self) -> bool:
        """Ends the hub again if a relay on its way out has just started one."""
        if self._hub.answers():
            self.end_hub(signal.SIGTERM)
            return False
        return True


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


def once_each(bodies: list[Body], ids: list[str]) -> None:
    """No message id appears twice in one request body."""
    for body in bodies:
        text = json.dumps(body["messages"])
        for message in ids:
            assert len(re.findall(rf"{re.escape(message)}(?!\d)", text)) <= 1, f"{message} twice in one request"


def test_an_idle_session_takes_a_turn_for_every_message_to_it(stage: Stage) -> None:
    stage.open("hello")
    ids, took = [], []
    for number in range(TRIES):
        if number == TRIES // 2:
            stage.restart()
        ids.append(stage.send(f"IDLE-{number}-WORD", "claude-proj"))
        took.append(stage.arrives(f"IDLE-{number}-WORD"))
    once_each(stage.model.bodies, ids)
    took.sort()
    print(f"idle: median {took[len(took) // 2]:.2f} s, slowest {took[-1]:.2f} s")


def test_a_busy_session_gets_messages_in_the_middle_of_its_turn(stage: Stage) -> None:
    sent: dict[str, str] = {}
    pause = threading.Event()
    limit: list[float] = []

    def work(body: Body) -> list[Block]:
        text = json.dumps(body["messages"])
        if "START-WORK" not in text:
            return [say("understood")]
        limit.append(time.monotonic())
        last = f"MIDTURN-{len(sent) - 1}-WORD"
        if (not sent or last in text) and len(sent) < TRIES:
            sent[f"MIDTURN-{len(sent)}-WORD"] = stage.send(f"MIDTURN-{len(sent)}-WORD", "claude-proj")
        elif len(sent) == TRIES and last in text:
            return [say("all done")]
        assert limit[-1] - limit[0] < 200
        pause.wait(0.25)
        return [use("mcp__bridge__send", room="proj", text="still working", key=uuid.uuid4().hex)]

    stage.model.script = work
    stage.open("--allowedTools", "mcp__bridge__send", "--", "START-WORK")
    eventually_sync(
        lambda: len(sent) == TRIES and stage.model.having(f"MIDTURN-{TRIES - 1}-WORD"), within_s=200, what=str(sent)
    )
    assert all(stage.model.having(text) for text in sent)
    once_each(stage.model.bodies, list(sent.values()))


def test_a_message_to_nobody_does_not_wake_but_is_in_the_next_poll(stage: Stage) -> None:
    stage.open("hello")
    stage.send("QUIET-WORD")
    stage.send("LOUD-WORD", "claude-proj")
    stage.arrives("LOUD-WORD")
    before = len(stage.model.bodies)
    stage.send("SECOND-QUIET-WORD")
    assert not threading.Event().wait(3)
    assert len(stage.model.bodies) == before
    stage.model.script = lambda body: (
        [use("mcp__bridge__poll")] if "SECOND-QUIET-WORD" not in json.dumps(body["messages"]) else [say("read")]
    )
    stage.claude.close()
    stage.claude.start("--allowedTools", "mcp__bridge__poll", "--continue", "--", "please poll")
    stage.arrives("SECOND-QUIET-WORD")


def test_a_session_that_only_prints_gets_messages_while_it_works(stage: Stage) -> None:
    sent: list[str] = []
    pause = threading.Event()

    def work(body: Body) -> list[Block]:
        if "PRINT-WORD" in json.dumps(body["messages"]):
            return [say("I have it")]
        if stage.reach() == "push" and not sent:
            sent.append(stage.send("PRINT-WORD", "claude-proj"))
        pause.wait(0.5)
        return [use("mcp__bridge__send", room="proj", text="still working", key=uuid.uuid4().hex)]

    stage.model.script = work
    done = stage.claude.run("-p", "work", "--allowedTools", "mcp__bridge__send")
    assert "I have it" in done.stdout, done.stdout + done.stderr
    once_each(stage.model.bodies, sent)


def test_a_session_with_the_plugin_instead_of_setup_is_reached_too(stage: Stage) -> None:
    stage.claude.bridge("setup", "claude-code", "--remove")
    market = stage.claude.home / "market"
    stage.claude.bridge("setup", "--plugin", str(market))
    stage.open("--plugin-dir", str(market / "bridge"), "--", "hello")
    stage.send("PLUGIN-WORD", "claude-proj")
    stage.arrives("PLUGIN-WORD")
    body = json.dumps(stage.model.having("PLUGIN-WORD")[0])
    assert "working-together" in body, "the skill is offered to the model"
