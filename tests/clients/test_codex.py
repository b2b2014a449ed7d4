"""The real Codex: set up by our command it joins, sends and polls, and a message to it is in its next request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.codex import Codex
from tests.clients.hub import HubAtHome
from tests.clients.mock_responses import Body, Item, MockResponses, say, use

pytestmark = [pytest.mark.client, pytest.mark.timeout(200)]


class Stage(HubAtHome):
    """A hub, a model, and Codex as agent `codex-proj` in room `proj`, set up by our command."""

    def __init__(self, tmp_path: Path) -> None:
        self.model = MockResponses(lambda _body: [say("understood")])
        self.codex = Codex(tmp_path / "home", tmp_path / "proj", self.model.url)
        self.codex.bridge("setup", "codex")
        super().__init__(self.codex.environment)
        self._start_hub()

    def close(self) -> None:
        self.codex.close()
        self.stop_hub()
        self.model.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


def call(tool: str, **arguments: Any) -> Item:
    return use(tool, namespace="mcp__bridge", **arguments)


def outputs(body: Body) -> list[str]:
    """What tools of this turn have answered so far."""
    return [json.dumps(item["output"]) for item in body["input"] if item["type"] == "function_call_output"]


def test_codex_joins_sends_and_polls_and_a_message_to_it_is_in_its_next_request(stage: Stage) -> None:
    sent: list[str] = []

    def work(body: Body) -> list[Item]:
        answers = outputs(body)
        if len(answers) == 2:
            sent.append(stage.send("WORD-FOR-CODEX", "codex-proj"))
        steps = [
            call("join", room="proj"),
            call("send", text="hello from codex"),
            call("poll", wait_s=20),
            call("poll"),
        ]
        return [steps[len(answers)]] if len(answers) < len(steps) else [say("all read")]

    stage.model.script = work
    assert "all read" in stage.codex.exec("work with the others")
    first = next(number for number, body in enumerate(stage.model.bodies) if "WORD-FOR-CODEX" in json.dumps(body))
    assert len(outputs(stage.model.bodies[first])) == 3, "the answer of the poll that waited brings it"
    assert sent[0] in outputs(stage.model.bodies[first])[2]
    said = stage.hub("GET", "/v1/rooms/proj/messages")["items"]
    assert ("codex-proj", "hello from codex") in [(message["from"], message["text"]) for message in said]
    receipts = stage.hub("GET", f"/v1/rooms/proj/messages/{sent[0]}/receipts")["receipts"]
    assert [(r["agent"], r["state"]) for r in receipts] == [("codex-proj", "seen")], "the poll after it acknowledged"


def test_what_codex_did_not_poll_is_counted_on_its_next_result_and_never_seen(stage: Stage) -> None:
    sent: list[str] = []

    def work(body: Body) -> list[Item]:
        answers = outputs(body)
        if len(answers) == 1:
            sent.append(stage.send("UNREAD-WORD", "codex-proj"))
        steps = [call("join", room="proj"), call("send", text="on my way")]
        return [steps[len(answers)]] if len(answers) < len(steps) else [say("done")]

    stage.model.script = work
    stage.codex.exec("say something")
    assert '\\"unread\\":1' in outputs(stage.model.bodies[-1])[1]
    receipts = stage.hub("GET", f"/v1/rooms/proj/messages/{sent[0]}/receipts")["receipts"]
    assert [r["state"] for r in receipts] == ["queued"]


def test_setup_and_remove_leave_codex_with_its_own_configuration(tmp_path: Path) -> None:
    codex = Codex(tmp_path / "home", tmp_path / "proj", "http://127.0.0.1:9")
    before = codex.config.read_bytes()
    codex.bridge("setup", "codex")
    assert "bridge" in codex.run("mcp", "get", "bridge")
    codex.bridge("setup", "codex", "--remove")
    assert codex.config.read_bytes() == before
