"""Texts that go from the socket to their transaction without a task: in order, all answered, refusals included."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from hub.core.errors import NotFound
from hub.features.messages.contract import PostMessage
from hub.log.handler import HANDLERS, leaves
from hub.storage.interface import Tx
from mcp_bridge.serve import Served
from tests.server.test_streams import ask, events_by_page, websocket

pytestmark = pytest.mark.anyio
_HANDLERS: dict[Any, Any] = HANDLERS


async def test_what_one_socket_sends_is_done_in_that_order_and_all_of_it_answered(
    served: Served, http: httpx2.AsyncClient
) -> None:
    """More than may be under way at once, single writes between batches and reads, which need tasks."""
    frames: list[dict[str, Any]] = []
    for number in range(400):
        frames.append({"op": "messages.post", "room": "build", "text": f"{number}"})
        if number % 10 == 3:
            post = {"op": "messages.post", "room": "build"}
            frames.append({"op": "batch", "operations": [post | {"text": f"{number}+{more}"} for more in (1, 2)]})
        if number % 50 == 7:
            frames.append({"op": "rooms.list"})
    async with websocket(served) as socket:
        await ask(socket, -1, "rooms.create", room="build")
        for number, frame in enumerate(frames):
            await socket.send(json.dumps({"id": number, **frame}))
        answers = [json.loads(await asyncio.wait_for(socket.recv(), 20)) for _ in frames]
    assert sorted(answer["re"] for answer in answers) == list(range(len(frames)))
    assert all("ok" in answer for answer in answers)
    posted = [one["data"]["text"] for one in await events_by_page(http, "build") if one["type"] == "message.posted"]
    sent = [frame["text"] for frame in frames if "text" in frame]
    order = [item["text"] for frame in frames for item in frame.get("operations", [frame]) if "text" in item]
    assert len(posted) == len(sent) + 80
    assert posted == order


async def test_a_text_that_is_not_utf_8_closes_the_socket(served: Served) -> None:
    async with websocket(served) as socket:
        await socket.send(b'{"id": 1, "op": "\xff"}', text=True)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1007


async def test_what_a_refusal_leaves_is_kept_before_it_is_answered(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_tx: Tx, _call: Any, _request: Any) -> NoReturn:
        raise leaves(lambda tx: tx.stage("snapshot", (99, 1, b"left")), NotFound("not this one"))

    monkeypatch.setitem(_HANDLERS, PostMessage, refuse)
    async with websocket(served) as socket:
        answer = await ask(socket, 1, "messages.post", room="build", text="x", idempotency_key="k")
        assert answer["problem"]["detail"] == "not this one"
        left = await served.hub.store.read(lambda tx: tx.rows("select 1 from snapshot where log = 99"))
        assert len(left) == 1


@pytest.mark.parametrize(
    ("failure", "code"),
    [(RuntimeError("a bug"), "internal"), (OverflowError("2**70"), "invalid")],
    ids=["bug", "large"],
)
async def test_a_write_that_fails_unexpectedly_is_answered_and_its_key_is_free_again(
    served: Served, monkeypatch: pytest.MonkeyPatch, failure: Exception, code: str
) -> None:
    def fail(_tx: Tx, _call: Any, _request: Any) -> NoReturn:
        raise failure

    async with websocket(served) as socket:
        await ask(socket, 1, "rooms.create", room="build")
        with monkeypatch.context() as patched:
            patched.setitem(_HANDLERS, PostMessage, fail)
            answer = await ask(socket, 2, "messages.post", room="build", text="x", idempotency_key="k")
            assert answer["problem"]["code"].startswith(code)
        assert "ok" in await ask(socket, 3, "messages.post", room="build", text="x", idempotency_key="k")


async def test_the_same_key_twice_at_once_is_done_once(served: Served) -> None:
    async with websocket(served) as socket:
        await ask(socket, 1, "rooms.create", room="build")
        post = {"op": "messages.post", "room": "build", "text": "x", "idempotency_key": "k"}
        for number in (2, 3):
            await socket.send(json.dumps({"id": number, **post}))
        answers = [json.loads(await asyncio.wait_for(socket.recv(), 5)) for _ in range(2)]
        assert sorted("ok" in answer for answer in answers) == [False, True]
        assert [answer["problem"]["code"] for answer in answers if "problem" in answer] == ["still-running"]
