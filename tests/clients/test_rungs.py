"""Every rung of the ladder alone, with the real Claude Code: does it bring the text, once, and is it seen only then?

Channels are not here: the client takes them only where a flag of its maker's allows it.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_bridge.push.ladder import SWITCHES
from tests.clients.mock_model import Block, Body, say, use
from tests.clients.stage import Stage
from tests.clients.test_claude_code import once_each
from tests.support.waiting import eventually_sync

pytestmark = [pytest.mark.client, pytest.mark.timeout(300)]
SEND = "mcp__plugin_bridge_bridge__send"
WAKING = {
    "monitor": {"monitor"},
    "monitor-and-hooks": {"monitor", "hook"},
    "rewake": {"rewake"},
}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


def only(stage: Stage, *rungs: str) -> list[str]:
    """How to start a session that has these rungs and no other."""
    return [*stage.plugin(*(rung for rung in SWITCHES if rung not in rungs)), "--allowedTools", SEND, "--"]


def working(stage: Stage, word: str) -> list[Block]:
    """The model goes on with its turn until `word` is in a request."""
    threading.Event().wait(0.3)
    if stage.model.having(word):
        return [say("I have it")]
    return [use(SEND, room="proj", text="still working", key=uuid.uuid4().hex)]


def never_seen_while_cut_off(stage: Stage, word: str) -> None:
    """The model cut off: the text may be in a request, but nobody's model saw it."""
    stage.model.cut_off = True
    message = stage.send(word, "claude-proj")
    stage.arrives(word)
    assert not threading.Event().wait(2)
    assert stage.receipt(message) in ("queued", "delivered")


@pytest.mark.parametrize("rungs", WAKING)
def test_a_rung_that_wakes_brings_messages_to_an_idle_and_to_a_busy_session(stage: Stage, rungs: str) -> None:
    def work(body: Body) -> list[Block]:
        if "START-WORK" not in json.dumps(body["messages"]):
            return [say("understood")]
        if len(ids) == 1:
            ids.append(stage.send("BUSY-WORD", "claude-proj"))
        return working(stage, "BUSY-WORD")

    ids: list[str] = []
    stage.model.script = work
    stage.claude.start(*only(stage, *WAKING[rungs]), "hello")
    eventually_sync(lambda: stage.via() == rungs.partition("-")[0], within_s=90)
    ids.append(stage.send("IDLE-WORD", "claude-proj"))
    stage.arrives("IDLE-WORD")
    eventually_sync(lambda: stage.receipt(ids[0]) == "seen")
    stage.claude.enter("START-WORK")
    eventually_sync(lambda: stage.model.having("BUSY-WORD"), within_s=30)
    eventually_sync(lambda: stage.receipt(ids[1]) == "seen", within_s=15)
    eventually_sync(lambda: stage.via() == rungs.partition("-")[0], within_s=15, what="the rung is there again")
    never_seen_while_cut_off(stage, "CUT-OFF-WORD")
    once_each(stage.model.bodies, ids)


def test_hooks_bring_messages_with_a_prompt_after_a_tool_and_before_a_turn_ends(stage: Stage) -> None:
    def work(body: Body) -> list[Block]:
        text = json.dumps(body["messages"])
        if "START-WORK" in text and len(ids) == 1:
            ids.append(stage.send("BUSY-WORD", "claude-proj"))
        if "START-WORK" in text and "BUSY-WORD" not in text:
            return working(stage, "BUSY-WORD")
        if "BUSY-WORD" in text and len(ids) == 2:
            ids.append(stage.send("ENDING-WORD", "claude-proj"))
        return [say("understood")]

    ids: list[str] = []
    stage.model.script = work
    stage.claude.start(*only(stage, "hook"), "hello")
    eventually_sync(lambda: stage.via() == "hook" and "understood" in stage.claude.shown(), within_s=90)
    assert stage.reach() == "poll"
    ids.append(stage.send("IDLE-WORD", "claude-proj"))
    assert not threading.Event().wait(2)
    assert not stage.model.having("IDLE-WORD"), "hooks wake nobody"
    stage.claude.enter("NEXT-PROMPT")
    stage.arrives("IDLE-WORD")
    stage.claude.enter("START-WORK")
    eventually_sync(lambda: stage.model.having("BUSY-WORD"), within_s=30, what="after a tool")
    eventually_sync(lambda: stage.model.having("ENDING-WORD"), within_s=15, what="before the turn ends")
    eventually_sync(lambda: {stage.receipt(message) for message in ids} == {"seen"}, within_s=15)
    stage.model.cut_off = True
    lost = stage.send("CUT-OFF-WORD", "claude-proj")
    stage.claude.enter("ANOTHER-PROMPT")
    stage.arrives("CUT-OFF-WORD")
    assert not threading.Event().wait(2)
    assert stage.receipt(lost) in ("queued", "delivered")
    once_each(stage.model.bodies, [*ids, lost])


def test_the_result_of_any_of_our_tools_brings_what_waits(stage: Stage) -> None:
    def work(body: Body) -> list[Block]:
        if "START-WORK" not in json.dumps(body["messages"]):
            return [say("understood")]
        if not ids:
            ids.append(stage.send("RESULT-WORD", "claude-proj"))
            ids.append(stage.send("BY-THE-WAY-WORD"))
        return working(stage, "BY-THE-WAY-WORD")

    ids: list[str] = []
    stage.model.script = work
    stage.claude.start(*only(stage, "result"), "hello")
    eventually_sync(lambda: stage.via() == "result", within_s=90)
    stage.claude.enter("START-WORK")
    stage.arrives("RESULT-WORD")
    stage.arrives("BY-THE-WAY-WORD")
    eventually_sync(lambda: stage.receipt(ids[0]) == "seen", within_s=15)
    once_each(stage.model.bodies, ids)


@pytest.mark.parametrize("tool", ["send", "poll"])
def test_what_a_result_brought_is_not_seen_while_the_model_is_cut_off(stage: Stage, tool: str) -> None:
    """The first of two calls of one answer brings the text; the second is no proof that the model has it."""
    ids: list[str] = []
    again = SEND.replace("send", tool)

    def work(body: Body) -> list[Block]:
        text = json.dumps(body["messages"])
        if "START-WORK" not in text or ids:
            return [say("understood")]
        ids.append(stage.send("CUT-OFF-WORD", "claude-proj"))
        stage.model.cut_off = True  # from the next request on
        first = {"room": "proj", "text": "still working", "key": uuid.uuid4().hex} if tool == "send" else {}
        return [use(again, **first), use(SEND, room="proj", text="of the same answer", key=uuid.uuid4().hex)]

    stage.model.script = work
    stage.claude.start(
        *stage.plugin(*(r for r in SWITCHES if r != "result")), "--allowedTools", SEND, again, "--", "hello"
    )
    eventually_sync(lambda: stage.via() == "result", within_s=90)
    stage.claude.enter("START-WORK")
    stage.arrives("CUT-OFF-WORD")
    assert not threading.Event().wait(2)
    assert stage.receipt(ids[0]) in ("queued", "delivered")
    stage.model.cut_off = False
    stage.claude.enter("GO-ON")
    eventually_sync(lambda: stage.model.having("GO-ON"), within_s=30)
    once_each(stage.model.bodies, ids)


def test_a_session_that_only_prints_gets_messages_by_hooks_and_ends(stage: Stage) -> None:
    """Neither the monitor nor the waiting hook holds it open."""
    ids: list[str] = []

    def work(_body: Body) -> list[Block]:
        if not ids and stage.member("claude-proj").get("presence") == "online":
            ids.append(stage.send("PRINT-WORD", "claude-proj"))
        return working(stage, "PRINT-WORD")

    stage.model.script = work
    started = stage.plugin("socket", "result")
    done = stage.claude.run(*started, "--allowedTools", SEND, "-p", "work")
    assert "I have it" in done.stdout, done.stdout + done.stderr
    once_each(stage.model.bodies, ids)
