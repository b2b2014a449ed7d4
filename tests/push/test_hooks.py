"""What hooks of the client get, when; and what a channel writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mcp_bridge.push.channel import CAPABILITY, METHOD, Channel
from mcp_bridge.push.hooks import MOST_STOPS, Hooks
from mcp_bridge.push.moments import CLAUDE_CODE, CODEX, GEMINI, Dialect
from mcp_bridge.push.ways import PushFailed
from mcp_bridge.relay import Relay
from tests.push.test_flights import Client


def asked(hooks: Hooks, event: str, **given: str) -> str:
    told = {"event": event, **given}
    if not hooks.heard(told):
        return ""
    found: dict[str, Any] = hooks.answer(told).get("hookSpecificOutput", {})
    assert not found or found["hookEventName"] == event
    return str(found.get("additionalContext", ""))


def hooks_of(client: Client) -> Hooks:
    return Hooks(client.pusher, None, lambda prompt: "announced" if "[bridge 1]" in prompt else None)


@pytest.mark.parametrize("event", ["UserPromptSubmit", "PostToolUse", "Stop"])
def test_what_wakes_comes_with_every_hook_and_once(tmp_path: Path, event: str) -> None:
    client = Client(tmp_path)
    hooks = hooks_of(client)
    client.log.count = 1
    assert "m1-1" in asked(hooks, event)
    assert asked(hooks, event) == ""


def test_what_disturbs_nobody_comes_with_a_prompt_only(tmp_path: Path) -> None:
    client = Client(tmp_path)
    hooks = hooks_of(client)
    client.log.waking = set()
    client.log.count = 1
    assert [asked(hooks, "PostToolUse"), asked(hooks, "Stop")] == ["", ""]
    assert "m1-1" in asked(hooks, "UserPromptSubmit")


def test_where_a_better_way_works_hooks_leave_what_wakes_to_it(tmp_path: Path) -> None:
    client = Client(tmp_path, socket="takes")
    hooks = hooks_of(client)
    client.log.count = 1
    assert [asked(hooks, "PostToolUse"), asked(hooks, "Stop")] == ["", ""]
    client.step()
    assert client.got() == ["m1-1"]


def test_a_subagent_gets_nothing_that_is_for_the_session(tmp_path: Path) -> None:
    client = Client(tmp_path)
    hooks = hooks_of(client)
    client.log.count = 1
    assert asked(hooks, "PostToolUse", agent="explore-1") == ""
    assert "hook" not in client.pusher.offers()
    assert "m1-1" in asked(hooks, "PostToolUse", agent="")


def test_a_turn_is_not_kept_open_for_ever(tmp_path: Path) -> None:
    client = Client(tmp_path)
    hooks = hooks_of(client)
    held = []
    for client.log.count in range(1, MOST_STOPS + 3):
        held.append(bool(asked(hooks, "Stop")))
    assert held == [True] * MOST_STOPS + [False, False]
    assert "m1-" in asked(hooks, "UserPromptSubmit")
    client.log.count += 1
    assert asked(hooks, "Stop")


def test_a_turn_that_goes_on_is_no_prompt_of_the_user_where_the_client_says_so(tmp_path: Path) -> None:
    client = Client(tmp_path)
    hooks = hooks_of(client)
    held = []
    assert hooks.heard({"event": "BeforeAgent"}, GEMINI)
    for client.log.count in range(1, MOST_STOPS + 3):
        said = hooks.answer({"event": "AfterAgent"}, GEMINI)
        held.append(said.get("decision"))
        if said:
            hooks.answer({"event": "BeforeAgent", "prompt": said["reason"]}, GEMINI)
    assert held == ["deny"] * MOST_STOPS + [None, None]


@pytest.mark.parametrize(
    ("dialect", "event", "wanted"),
    [
        (CLAUDE_CODE, "Stop", {"hookSpecificOutput": {"hookEventName": "Stop", "additionalContext": "x"}}),
        (CODEX, "Stop", {"decision": "block", "reason": "x"}),
        (CODEX, "PostToolUse", {"hookSpecificOutput": {"hookEventName": "PostToolUse", "additionalContext": "x"}}),
        (GEMINI, "AfterAgent", {"decision": "deny", "reason": "x"}),
        (GEMINI, "AfterTool", {"hookSpecificOutput": {"hookEventName": "AfterTool", "additionalContext": "x"}}),
    ],
)
def test_each_client_is_answered_in_its_own_words(dialect: Dialect, event: str, wanted: dict[str, Any]) -> None:
    assert dialect.output(event, "x") == wanted


def test_events_of_another_client_are_not_heard(tmp_path: Path) -> None:
    hooks = hooks_of(Client(tmp_path))
    assert not hooks.heard({"event": "AfterTool"})
    assert not hooks.heard({"event": "PostToolUse"}, GEMINI)
    assert not hooks.heard({}, CODEX)


def test_a_prompt_that_is_a_monitors_line_gets_what_was_announced(tmp_path: Path) -> None:
    hooks = hooks_of(Client(tmp_path))
    assert asked(hooks, "UserPromptSubmit", prompt="<event>[bridge 1] mail</event>") == "announced"


def test_a_channel_says_which_tool_answers_and_fails_when_the_client_is_gone() -> None:
    frames: list[dict[str, Any]] = []
    there = True

    def write(frame: dict[str, Any]) -> bool:
        frames.append(frame)
        return there

    channel = Channel(write, lambda: there)
    channel.push("the digest", "12ab")
    assert frames == [
        {"jsonrpc": "2.0", "method": METHOD, "params": {"content": "the digest", "meta": {"digest": "12ab"}}}
    ]
    there = False
    assert not channel.works
    with pytest.raises(PushFailed):
        channel.push("the digest", "12ac")


@pytest.mark.parametrize("on", [True, False])
def test_channels_are_offered_over_the_older_protocol_and_only_when_asked_for(on: bool) -> None:
    import io

    relay = Relay(None, io.BytesIO(), io.BytesIO(), off=frozenset() if on else frozenset({"channel"}))  # type: ignore[arg-type]
    discover = relay._answer_at_once({"method": "server/discover", "id": 1})
    assert discover is not None
    assert ("error" in discover) is on
    shaken = relay._answer_at_once({"method": "initialize", "id": 2, "params": {"protocolVersion": "2025-11-25"}})
    assert shaken is not None
    assert (CAPABILITY in shaken["result"]["capabilities"].get("experimental", {})) is on
    assert ("channel" in relay._pusher.offers()) is on
