"""The real Gemini CLI: set up by our command it joins, sends and polls, and a message to it is in its next request."""

from __future__ import annotations

import json
import re
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

    def enter_by_hand(self, agent: str) -> None:
        """A first session, over now, has made the agent; the next one is the same."""
        self.model.script = lambda body: [say("bye")] if outputs(body) else [use("mcp_bridge_join", room="proj")]
        self.gemini.prompt("join the others")
        assert self.member(agent)
        self.model.bodies.clear()
        self.model.script = lambda _body: [say("understood")]

    def holds(self, body: Body, message: str) -> int:
        """How often a message is in this request."""
        return len(re.findall(rf"id {message}(?![0-9a-z])", json.dumps(body["contents"])))

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


def test_a_message_is_in_the_next_request_of_a_running_turn_though_gemini_calls_no_tool_of_ours(stage: Stage) -> None:
    sent: list[str] = []

    def work(body: Body) -> list[Part]:
        if not outputs(body):
            sent.append(stage.send("MIDTURN-WORD", "gemini-proj"))
            return [use("list_directory", dir_path=".")]
        return [say("ALL-DONE")]

    stage.enter_by_hand("gemini-proj")
    stage.model.script = work
    assert "ALL-DONE" in stage.gemini.prompt("work alone")
    assert [stage.holds(body, sent[0]) for body in stage.model.bodies] == [0, 1]
    assert stage.receipts(sent[0]) == [("gemini-proj", "seen")], "the model answered after it"


def test_what_came_while_the_last_answer_was_made_keeps_the_turn_going_once(stage: Stage) -> None:
    sent: list[str] = []

    def work(body: Body) -> list[Part]:
        if not sent:
            sent.append(stage.send("LATE-WORD", "gemini-proj"))
        return [say("ALL-DONE" if stage.holds(body, sent[0]) else "FIRST-ANSWER")]

    stage.enter_by_hand("gemini-proj")
    stage.model.script = work
    assert "ALL-DONE" in stage.gemini.prompt("work alone")
    assert [stage.holds(body, sent[0]) for body in stage.model.bodies] == [0, 1]
    assert stage.receipts(sent[0]) == [("gemini-proj", "seen")]


def test_what_waited_comes_with_a_prompt_and_is_not_seen_when_the_model_does_not_answer(stage: Stage) -> None:
    stage.enter_by_hand("gemini-proj")
    sent = stage.send("WAITING-WORD", "gemini-proj")
    stage.model.refuses = True
    stage.gemini.fails("work alone")
    assert stage.holds(stage.model.bodies[-1], sent) == 1
    assert stage.receipt(sent) in ("queued", "delivered")


def test_hooks_that_were_left_out_bring_nothing(stage: Stage) -> None:
    stage.enter_by_hand("gemini-proj")
    stage.gemini.bridge("setup", "gemini", "--without", "hook")
    assert b'"hooks"' not in stage.gemini.settings.read_bytes()
    sent = stage.send("WAITING-WORD", "gemini-proj")
    stage.gemini.prompt("work alone")
    assert not stage.model.having("WAITING-WORD")
    assert stage.receipt(sent) in ("queued", "delivered")


def test_setup_and_remove_leave_gemini_with_its_own_settings(tmp_path: Path) -> None:
    gemini = Gemini(tmp_path / "home", tmp_path / "proj", "http://127.0.0.1:9")
    before = gemini.settings.read_bytes()
    gemini.bridge("setup", "gemini")
    assert b"bridge" in gemini.settings.read_bytes()
    gemini.bridge("setup", "gemini", "--remove")
    assert gemini.settings.read_bytes() == before
