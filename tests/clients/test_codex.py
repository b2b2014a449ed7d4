"""The real Codex: set up by our command it joins, sends and polls, and a message to it is in its next request."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_bridge.doctor.hooks import trust
from mcp_bridge.push.codex import CodexSession
from tests.clients.codex import CODEX, Codex
from tests.clients.hub import HubAtHome
from tests.clients.mock_responses import Body, Item, MockResponses, say, use
from tests.support.waiting import eventually_sync

pytestmark = [pytest.mark.client, pytest.mark.timeout(300)]


class Stage(HubAtHome):
    """A hub, a model, and Codex as agent `codex-proj` in room `proj`, set up by our command."""

    def __init__(self, tmp_path: Path) -> None:
        self.model = MockResponses(lambda _body: [say("understood")])
        self.codex = Codex(tmp_path / "home", tmp_path / "proj", self.model.url)
        self.codex.bridge("setup", "codex")
        super().__init__(self.codex.environment)
        self._start_hub()

    def enter_by_hand(self, agent: str) -> None:
        """A first session, over now, has made the agent; the next one is the same."""
        self.model.script = lambda body: [say("bye")] if outputs(body) else [call("join", room="proj")]
        self.codex.exec("join the others")
        assert self.member(agent)
        self.codex.bridge("setup", "codex", "--with", "hook")
        self.model.bodies.clear()

    def holds(self, body: Body, message: str) -> int:
        """How often a message is in this request."""
        return len(re.findall(rf"id {message}(?![0-9a-z])", json.dumps(body["input"])))

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
    assert stage.receipts(sent[0]) == [("codex-proj", "seen")], "the poll after it acknowledged"


def test_what_codex_did_not_poll_rides_on_its_next_result_and_is_not_seen_without_proof(stage: Stage) -> None:
    sent: list[str] = []

    def work(body: Body) -> list[Item]:
        answers = outputs(body)
        if len(answers) == 1:
            sent.append(stage.send("UNREAD-WORD", "codex-proj"))
        steps = [call("join", room="proj"), call("send", text="on my way")]
        return [steps[len(answers)]] if len(answers) < len(steps) else [say("done")]

    stage.model.script = work
    stage.codex.exec("say something")
    assert "UNREAD-WORD" in outputs(stage.model.bodies[-1])[1]
    assert json.dumps(stage.model.bodies[-1]["input"]).count(f"id {sent[0]} from") == 1
    assert stage.receipt(sent[0]) in ("queued", "delivered"), "no call came after it"


def open_session(stage: Stage, *options: str) -> None:
    """An interactive session that has called a tool once and is idle."""
    stage.model.script = lambda body: [say("understood")] if outputs(body) else [call("join", room="proj")]
    stage.codex.start(*options, "join the others")
    eventually_sync(lambda: stage.reach_of("codex-proj") == "push", within_s=120, what="its queue can be written")


def test_an_idle_interactive_codex_takes_a_turn_for_a_message_and_only_then_it_is_seen(stage: Stage) -> None:
    open_session(stage)
    ids = []
    for number in range(2):
        ids.append(stage.send(f"IDLE-{number}-WORD", "codex-proj"))
        eventually_sync(lambda: stage.model.having(f"IDLE-{len(ids) - 1}-WORD"), within_s=40, what="a request with it")
        eventually_sync(lambda: stage.receipt(ids[-1]) == "seen", what="the answer proves it")
    assert b"IDLE-0-WORD" in stage.codex.screen
    last = json.dumps(stage.model.bodies[-1]["input"])
    assert [len(re.findall(rf"{message}(?![0-9a-z])", last)) for message in ids] == [1, 1], last[-3000:]
    stage.send("TO-NOBODY-WORD")
    before = len(stage.model.bodies)
    assert not threading.Event().wait(3)
    assert len(stage.model.bodies) == before, "a message to nobody wakes nobody"


def test_a_busy_codex_is_not_queued_for_what_a_poll_in_its_turn_brings(stage: Stage) -> None:
    open_session(stage)
    began = threading.Event()
    sent: list[str] = []

    def work(body: Body) -> list[Item]:
        text = json.dumps(body["input"])
        if "BEGIN-WORK" not in text:
            return [say("understood")]
        if not began.is_set():
            began.set()
            sent.append(stage.send("MIDTURN-WORD", "codex-proj"))
            return [call("who")]
        return [say("ALL-DONE")] if "MIDTURN-WORD" in text else [call("poll", wait_s=10)]

    stage.model.script = work
    stage.send("BEGIN-WORK", "codex-proj")
    eventually_sync(lambda: stage.model.having("MIDTURN-WORD"), within_s=60, what="the poll brings it")
    eventually_sync(lambda: b"ALL-DONE" in stage.codex.screen, within_s=20, what="the turn ends")
    assert not threading.Event().wait(12), "longer than an idle session waits before it looks into its queue"
    found = json.dumps(stage.model.bodies[-1]["input"])
    assert found.count("MIDTURN-WORD") == 1, "it did not come again by the queue"


def test_a_text_in_the_queue_of_a_busy_codex_can_be_taken_back_and_never_comes(stage: Stage) -> None:
    goes_on = threading.Event()
    taken: list[bool] = []

    def work(body: Body) -> list[Item]:
        if "BEGIN-WORK" in json.dumps(body["input"]) and not taken:
            session = CodexSession(stage.codex.config.parent, str(CODEX))
            session.notice({"threadId": body["prompt_cache_key"]})
            session.push("TAKEN-BACK-WORD", "a1b2c3d4e5f6")
            taken.extend(session.recall("a1b2c3d4e5f6") for _ in range(2))
            goes_on.set()
        return [say("TURN-OVER")]

    stage.model.script = work
    stage.codex.start("BEGIN-WORK")
    eventually_sync(goes_on.is_set, within_s=60, what="a turn runs")
    assert taken == [True, False]
    eventually_sync(lambda: b"TURN-OVER" in stage.codex.screen, within_s=20, what="the turn ends")
    assert not threading.Event().wait(12), "longer than an idle session waits before it looks into its queue"
    assert not stage.model.having("TAKEN-BACK-WORD")


def turns_with_a_message(stage: Stage) -> list[str]:
    """In every turn from now on the model runs one command, and a message comes while it does; the messages' ids."""
    sent: list[str] = []

    def work(body: Body) -> list[Item]:
        if not outputs(body):
            sent.append(stage.send("MIDTURN-WORD", "codex-proj"))
            return [use("exec_command", cmd="true")]
        return [say("ALL-DONE")]

    stage.enter_by_hand("codex-proj")
    stage.model.script = work
    return sent


TRUSTING = "--dangerously-bypass-hook-trust"  # what a user does once in `/hooks`


def test_a_message_is_in_the_next_request_of_a_running_turn_though_codex_calls_no_tool_of_ours(stage: Stage) -> None:
    sent = turns_with_a_message(stage)
    assert "ALL-DONE" in stage.codex.exec(TRUSTING, "work alone")
    first, second = stage.model.bodies
    assert not stage.holds(first, sent[0])
    assert stage.holds(second, sent[0]) == 1
    assert stage.receipts(sent[0]) == [("codex-proj", "seen")], "the model answered after it"


def test_what_came_while_the_last_answer_was_made_keeps_the_turn_going_once(stage: Stage) -> None:
    sent: list[str] = []

    def work(body: Body) -> list[Item]:
        if not sent:
            sent.append(stage.send("LATE-WORD", "codex-proj"))
        return [say("ALL-DONE" if stage.holds(body, sent[0]) else "FIRST-ANSWER")]

    stage.enter_by_hand("codex-proj")
    stage.model.script = work
    assert "ALL-DONE" in stage.codex.exec(TRUSTING, "work alone")
    assert [stage.holds(body, sent[0]) for body in stage.model.bodies] == [0, 1]
    assert stage.receipts(sent[0]) == [("codex-proj", "seen")]


def test_hooks_that_the_user_did_not_trust_or_left_out_bring_nothing(stage: Stage) -> None:
    sent = turns_with_a_message(stage)
    stage.codex.exec("work alone")
    stage.codex.bridge("setup", "codex")
    assert stage.codex.hooks.exists(), "what the user wanted stays"
    stage.codex.bridge("setup", "codex", "--without", "hook")
    assert not stage.codex.hooks.exists()
    stage.codex.exec(TRUSTING, "work alone")
    assert len(stage.model.bodies) == 4
    assert not stage.model.having("MIDTURN-WORD")
    assert {stage.receipt(message) for message in sent} <= {"queued", "delivered"}


def test_in_a_turn_of_an_interactive_codex_a_hook_brings_it_and_the_queue_does_not_repeat_it(stage: Stage) -> None:
    stage.codex.bridge("setup", "codex", "--with", "hook")
    open_session(stage, TRUSTING)
    sent: list[str] = []

    def work(body: Body) -> list[Item]:
        if "BEGIN-WORK" not in json.dumps(body["input"]):
            return [say("understood")]
        if not sent:
            sent.append(stage.send("MIDTURN-WORD", "codex-proj"))
            return [use("exec_command", cmd="true")]
        return [say("ALL-DONE")]

    stage.model.script = work
    stage.send("BEGIN-WORK", "codex-proj")
    eventually_sync(lambda: stage.model.having("MIDTURN-WORD"), within_s=60, what="the request after the tool")
    eventually_sync(lambda: b"ALL-DONE" in stage.codex.screen, within_s=20, what="the turn ends")
    eventually_sync(lambda: stage.receipt(sent[0]) == "seen", what="the answer proves it")
    assert not threading.Event().wait(12), "longer than an idle session waits before it looks into its queue"
    assert stage.holds(stage.model.bodies[-1], sent[0]) == 1


def test_doctor_tells_whether_the_user_trusts_our_hooks(stage: Stage) -> None:
    codex = CodexSession(stage.codex.config.parent, str(CODEX))
    assert trust(codex, str(stage.codex.project)) == []
    stage.codex.bridge("setup", "codex", "--with", "hook")
    assert trust(codex, str(stage.codex.project)) == ["untrusted"] * 4
    stage.codex.start()
    eventually_sync(lambda: b"trusting" in stage.codex.screen, within_s=60, what="it asks its user")

    def chosen() -> bool:
        stage.codex.type("2")  # what is typed before it listens is dropped
        return b"2. Trust all and continue" in stage.codex.screen

    eventually_sync(chosen, within_s=30, what="that answer is chosen")
    stage.codex.type("\r")
    eventually_sync(lambda: trust(codex, str(stage.codex.project)) == ["trusted"] * 4, within_s=30)


def test_setup_and_remove_leave_codex_with_its_own_configuration(tmp_path: Path) -> None:
    codex = Codex(tmp_path / "home", tmp_path / "proj", "http://127.0.0.1:9")
    before = codex.config.read_bytes()
    codex.bridge("setup", "codex")
    assert "bridge" in codex.run("mcp", "get", "bridge")
    codex.bridge("setup", "codex", "--remove")
    assert codex.config.read_bytes() == before
    codex.run("mcp", "add", "bridge", "--env", "A=b", "--", "mcp-bridge", "mcp")
    assert b"[mcp_servers.bridge.env]" in codex.config.read_bytes(), "a table inside ours"
    codex.bridge("setup", "codex", "--remove")
    assert "bridge" not in codex.run("mcp", "list")
