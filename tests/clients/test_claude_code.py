"""The real Claude Code: a message to a session is in the next request that the session sends to its model."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_bridge.push.pusher import LOST_S
from tests.clients.mock_model import Block, Body, say, use
from tests.clients.stage import AIM_S, Stage
from tests.support.waiting import eventually_sync

pytestmark = [pytest.mark.client, pytest.mark.timeout(300)]
TRIES = 20


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


def once_each(bodies: list[Body], ids: list[str]) -> None:
    """No message id appears twice in one request body."""
    sent = set(ids)
    for body in bodies:
        text = json.dumps(body["messages"])
        counts = Counter(re.findall(r"\bm[0-9a-z]+-[0-9a-z]+", text))
        twice = {message for message, count in counts.items() if count > 1} & sent
        places = [
            text[max(0, at.start() - 200) : at.end() + 100] for m in twice for at in re.finditer(rf"\b{m}\b", text)
        ]
        assert not twice, f"{sorted(twice)} twice in one request:\n" + "\n…\n".join(places)


def test_an_idle_session_takes_a_turn_for_every_message_to_it(stage: Stage) -> None:
    idle(stage, TRIES, kills=1)


def test_a_busy_session_gets_messages_in_the_middle_of_its_turn(stage: Stage) -> None:
    busy(stage, TRIES, kills=1)


@pytest.mark.faults
@pytest.mark.timeout(1500)
def test_an_idle_session_loses_nothing_over_many_hub_crashes(stage: Stage) -> None:
    idle(stage, 200, kills=10)


@pytest.mark.faults
@pytest.mark.timeout(1500)
def test_a_busy_session_loses_nothing_over_many_hub_crashes(stage: Stage) -> None:
    busy(stage, 200, kills=10)


@pytest.mark.faults
@pytest.mark.timeout(1500)
def test_a_session_that_only_prints_loses_nothing_over_many_hub_crashes(stage: Stage) -> None:
    busy(stage, 200, kills=10, prints=True)


def idle(stage: Stage, tries: int, kills: int) -> None:
    """Message after message to a session that waits; the hub dies `kills` times in between."""
    stage.open("hello")
    ids, took = [], []
    for number in range(tries):
        if number % (tries // kills) == tries // kills // 2:
            stage.restart()
        ids.append(stage.send(f"IDLE-{number}-WORD", "claude-proj"))
        took.append(stage.arrives(f"IDLE-{number}-WORD"))
    once_each(stage.model.bodies, ids)
    took.sort()
    print(f"idle: median {took[len(took) // 2]:.2f} s, slowest {took[-1]:.2f} s")


def busy(stage: Stage, tries: int, kills: int, *, prints: bool = False) -> None:
    """Message after message to a session in one long turn; each waits until the one before is in a request."""
    sent: dict[str, str] = {}
    took: dict[str, float] = {}
    sent_at = [0.0]
    pause = threading.Event()
    began = time.monotonic()

    def work(body: Body) -> list[Block]:
        text = json.dumps(body["messages"])
        if "START-WORK" not in text:
            return [say("understood")]
        last = f"MIDTURN-{len(sent) - 1}-WORD"
        if sent and last in text and last not in took:
            took[last] = time.monotonic() - sent_at[0]
        if (stage.reach() == "push" if not sent else last in text) and len(sent) < tries:
            if len(sent) % (tries // kills) == tries // kills // 2:
                stage.restart()
            sent_at[0] = time.monotonic()
            sent[f"MIDTURN-{len(sent)}-WORD"] = stage.send(f"MIDTURN-{len(sent)}-WORD", "claude-proj")
        elif len(sent) == tries and last in text:
            return [say("all done")]
        assert time.monotonic() - began < tries * 10
        pause.wait(0.25)
        if len(sent) % 2:  # asks for its mail in between: what was pushed must not come again
            return [use("mcp__bridge__poll")]
        return [use("mcp__bridge__send", room="proj", text="still working", key=uuid.uuid4().hex)]

    stage.model.script = work
    allowed = ["--allowedTools", "mcp__bridge__send", "mcp__bridge__poll"]
    if prints:
        done = stage.claude.run("-p", "START-WORK", *allowed, within_s=tries * 10)
        assert "all done" in done.stdout, done.stdout[-1000:] + done.stderr[-1000:]
    else:
        stage.open(*allowed, "--", "START-WORK")
    eventually_sync(
        lambda: len(sent) == tries and stage.model.having(f"MIDTURN-{tries - 1}-WORD"),
        within_s=tries * 10,
        what=f"{tries} messages in requests",
    )
    assert all(stage.model.having(text) for text in sent)
    once_each(stage.model.bodies, list(sent.values()))
    waits = sorted(took.values())
    print(f"busy: median {waits[len(waits) // 2]:.2f} s, slowest {waits[-1]:.2f} s")


def test_a_push_is_seen_when_the_model_answered_and_never_before(stage: Stage) -> None:
    """Its model cut off, a session has the text in its request and nobody has read it."""
    stage.open("hello")
    eventually_sync(lambda: stage.model.having("hello"))
    stage.model.cut_off = True
    lost = stage.send("CUT-OFF-WORD", "claude-proj")
    stage.arrives("CUT-OFF-WORD")
    assert not threading.Event().wait(3)
    assert stage.receipt(lost) in ("queued", "delivered")
    stage.model.cut_off = False
    ids = [lost, stage.send("ANSWERED-WORD", "claude-proj")]
    stage.arrives("ANSWERED-WORD")
    eventually_sync(lambda: {stage.receipt(message) for message in ids} == {"seen"}, within_s=15)
    polled = [body for body in stage.model.bodies if "mcp__bridge__poll" in json.dumps(body["messages"])]
    assert not polled, "no call of the model was needed"
    once_each(stage.model.bodies, ids)


def test_what_came_while_the_model_thought_is_not_shown_again_by_a_call_that_waits(stage: Stage) -> None:
    """The text is queued in the client, and the model's answer is a `poll` that waits in the background."""
    ids: list[str] = []

    def think(body: Body) -> list[Block]:
        if "START-WORK" not in json.dumps(body["messages"]) or ids:
            return [say("understood")]
        ids.append(stage.send("THINKING-WORD", "claude-proj"))
        threading.Event().wait(AIM_S)  # pushed meanwhile
        return [use("mcp__bridge__poll", wait_s=600)]

    stage.model.script = think
    stage.open("--allowedTools", "mcp__bridge__poll", "--", "hello")
    stage.claude.enter("START-WORK")
    stage.arrives("THINKING-WORD")
    eventually_sync(lambda: stage.receipt(ids[0]) == "seen", within_s=15)
    ids.append(stage.send("WAITED-FOR-WORD", "claude-proj"))
    stage.arrives("WAITED-FOR-WORD")
    once_each(stage.model.bodies, ids)


def test_a_cleared_session_gets_each_message_once_and_its_receipt(stage: Stage) -> None:
    stage.open("hello")
    eventually_sync(lambda: stage.model.having("hello"))
    stage.claude.enter("/clear")
    ids = []
    for word in ("FIRST-WORD", "SECOND-WORD"):
        ids.append(stage.send(word, "claude-proj"))
        stage.arrives(word)
        eventually_sync(
            lambda: stage.receipt(ids[-1]) == "seen", within_s=LOST_S, what="the proof, before it is given back"
        )
    once_each(stage.model.bodies, ids)


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
