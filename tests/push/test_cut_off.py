"""The model is cut off: what its client was given is not seen, by whatever rung. Here the two that no real client proves."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_bridge.push.channel import METHOD
from mcp_bridge.push.pusher import SAME_ANSWER_S
from tests.push.place import Place

UNSEEN = ("queued", "delivered")


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    made = Place(tmp_path, BRIDGE_PUSH_TRANSCRIPT="0", **request.param)
    yield made
    made.close()


def a_later_answer() -> None:
    """The model has read the results so far, and thought."""
    threading.Event().wait(SAME_ANSWER_S)


@pytest.mark.parametrize("place", [{"via": "channel", "BRIDGE_PUSH_CHANNEL": "1"}], indirect=True)
def test_what_only_went_into_a_channel_is_never_reported_as_seen(place: Place) -> None:
    sent = place.post("look here")
    frame = place.wire.until(lambda frame: frame.get("method") == METHOD)
    text = frame["params"]["content"]
    assert "look here" in text
    place.wire.tool("who")
    a_later_answer()
    place.wire.tool("who")
    assert place.state(sent) in UNSEEN, "calls of a model that may never have been shown it"
    ack = re.search(r'poll\(ack="([^"]+)"\)', text)
    assert ack is not None, "the text asks for the only proof there is"
    assert "look here" not in json.dumps(place.wire.tool("poll", ack=ack[1]))
    assert place.state(sent) == "seen"


@pytest.mark.parametrize("place", [{"via": "result"}], indirect=True)
def test_a_digest_on_a_result_is_seen_once_the_model_answers_and_not_by_calls_of_the_same_answer(place: Place) -> None:
    sent = place.post("look here")
    calls = [place.wire.send("tools/call", name="who", arguments={}) for _ in range(3)]
    results = [json.dumps(place.wire.answer(number)) for number in calls]
    assert sum("look here" in result for result in results) == 1
    assert "look here" not in json.dumps(place.wire.tool("poll")), "not again, though not proved yet"
    assert place.state(sent) in UNSEEN
    a_later_answer()
    place.wire.tool("who")
    assert place.state(sent) == "seen"


@pytest.mark.parametrize("place", [{"via": "result"}], indirect=True)
def test_what_a_poll_showed_is_seen_once_the_model_answers_and_not_by_calls_of_the_same_answer(place: Place) -> None:
    sent = place.post("look here")
    assert "look here" in json.dumps(place.wire.tool("poll"))
    shown = [json.dumps(place.wire.tool(tool)) for tool in ("who", "who")]
    assert "look here" not in "".join(shown), "not again, though not proved yet"
    assert place.state(sent) in UNSEEN
    a_later_answer()
    place.wire.tool("who")
    assert place.state(sent) == "seen"
