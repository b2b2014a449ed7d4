"""One message, one way, however calls and pushes overlap: a real relay and hub, and a gate between them that can wait."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.push.place import Json, Place, calls, nothing
from tests.push.test_socket import Inbox
from tests.support.waiting import eventually_sync

PUSHED_S = 3.0  # a push takes a tenth of it


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
            place.gate.before = nothing
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
    place.wire.tool("poll")
    assert place.state(first) != "seen"
