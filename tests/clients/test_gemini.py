"""The real Gemini CLI: set up by our command it joins, sends and polls, and a message to it is in its next request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.gemini import Gemini
from tests.clients.hub import HubAtHome
from tests.clients.mock_gemini import Body, MockGemini, Part, say, use

pytestmark = [pytest.mark.client, pytest.mark.timeout(200)]


class Stage(HubAtHome):
    """A hub, a model, and Gemini CLI as agent `gemini-proj` in room `proj`, set up by our command."""

    def __init__(self, tmp_path: Path) -> None:
        self.model = MockGemini(lambda _body: [say("understood")])
        self.gemini = Gemini(tmp_path / "home", tmp_path / "proj", self.model.url)
        self.gemini.bridge("setup", "gemini")
        super().__init__(self.gemini.environment)
        self._start_hub()

    def close(self) -> None:
        self.stop_hub()
        self.model.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


def outputs(body: Body) -> list[str]:
    """What tools have answered so far, as the model sees it."""
    parts = [part for content in body["contents"] for part in content["parts"]]
    return [json.dumps(part["functionResponse"]) for part in parts if "functionResponse" in part]


def test_gemini_joins_sends_and_polls_and_a_message_to_it_is_in_its_next_request(stage: Stage) -> None:
    sent: list[str] = []

    def work(body: Body) -> list[Part]:
        answers = outputs(body)
        if len(answers) == 1:
            sent.append(stage.send("WORD-FOR-GEMINI", "gemini-proj"))
        steps = [
            use("mcp_bridge_join", room="proj"),
            use("mcp_bridge_send", text="hello from gemini"),
            use("mcp_bridge_poll", wait_s=20),
            use("mcp_bridge_poll"),
        ]
        return [steps[len(answers)]] if len(answers) < len(steps) else [say("all read")]

    stage.model.script = work
    assert "all read" in stage.gemini.prompt("work with the others")
    after_send, after_poll = (outputs(stage.model.bodies[number])[-1] for number in (2, 3))
    assert (after_send + after_poll).count("WORD-FOR-GEMINI") == 1, (
        "it rides on the next result, and poll repeats nothing"
    )
    assert sent[0] in after_send + after_poll
    said = stage.hub("GET", "/v1/rooms/proj/messages")["items"]
    assert ("gemini-proj", "hello from gemini") in [(message["from"], message["text"]) for message in said]
    assert stage.receipts(sent[0]) == [("gemini-proj", "seen")], "the poll after it acknowledged"


def test_setup_and_remove_leave_gemini_with_its_own_settings(tmp_path: Path) -> None:
    gemini = Gemini(tmp_path / "home", tmp_path / "proj", "http://127.0.0.1:9")
    before = gemini.settings.read_bytes()
    gemini.bridge("setup", "gemini")
    assert b"bridge" in gemini.settings.read_bytes()
    gemini.bridge("setup", "gemini", "--remove")
    assert gemini.settings.read_bytes() == before
