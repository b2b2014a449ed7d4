"""Requests that go straight from the socket to the store are answered as all others are."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from hub.server.http import HttpOperations
from hub.server.security import Answer
from hub.server.straight import StraightHttp
from mcp_bridge.serve import Served
from tests.storage.test_sqlite import SlowCommit

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def straight(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the requests that went straight."""
    paths: list[str] = []
    begin = HttpOperations.begin

    def noted(self: Any, path: str, headers: dict[bytes, bytes], raw: bytes, answer: Answer) -> bool:
        begun = begin(self, path, headers, raw, answer)
        paths.extend([path] if begun else [])
        return begun

    monkeypatch.setattr(HttpOperations, "begin", noted)
    return paths


class Client:
    """One connection whose bytes the test decides."""

    def __init__(self, served: Served, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._served, self._reader, self.writer = served, reader, writer

    @classmethod
    async def of(cls, served: Served) -> Client:
        parts = urlsplit(served.url)
        client = cls(served, *await asyncio.open_connection(parts.hostname, parts.port))
        await client.ask(client.request("GET", "/v1/rooms"))  # from here on its token and its host are known
        return client

    def request(self, method: str, path: str, body: bytes = b"", *extra: str, host: str = "") -> bytes:
        head = [
            f"{method} {path} HTTP/1.1",
            f"host: {host or urlsplit(self._served.url).netloc}",
            f"authorization: Bearer {self._served.token}",
        ]
        if body:
            head += ["content-type: application/json", f"content-length: {len(body)}"]
        return "\r\n".join([*head, *extra, "", ""]).encode() + body

    def post(self, text: str, *extra: str, path: str = "/v1/rooms/build/messages", host: str = "") -> bytes:
        return self.request("POST", path, json.dumps({"text": text}).encode(), *extra, host=host)

    async def ask(self, *pieces: bytes) -> tuple[int, dict[str, str], Any]:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.02 if len(pieces) > 1 else 0)
        return await self.answer()

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        async with asyncio.timeout(10):
            lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if line)
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return int(lines[0].split()[1]), headers, json.loads(body) if body else None

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def closed(self) -> bool:
        async with asyncio.timeout(10):
            return not await self._reader.read(1)


@pytest.fixture
async def client(straight: list[str], served: Served, anyio_backend: str) -> AsyncIterator[Client]:
    made = await Client.of(served)
    await made.ask(made.request("POST", "/v1/rooms", b'{"room": "build"}'))
    straight.clear()
    yield made
    await made.close()


async def test_a_whole_post_goes_straight_and_is_answered_like_one_in_pieces(
    client: Client, straight: list[str]
) -> None:
    one, other = client.post("one"), client.post("other")
    status, headers, whole = await client.ask(one)
    assert straight == ["/v1/rooms/build/messages"]
    assert status == 201
    pieces = await client.ask(other[:40], other[40:-5], other[-5:])
    assert len(straight) == 1, "what comes in pieces takes uvicorn's way"
    assert (pieces[0], pieces[1]) == (status, headers)
    assert pieces[2]["seq"] == whole["seq"] + 1


async def test_requests_on_one_connection_are_answered_in_their_order_whatever_their_way(client: Client) -> None:
    wanted = [
        client.post("a"),
        client.request("GET", "/v1/rooms"),
        client.post("b"),
        client.post("c"),
        client.post("d"),
    ]
    client.writer.write(b"".join(wanted))
    answers = [await client.answer() for _ in wanted]
    assert [status for status, _, _ in answers] == [201, 200, 201, 201, 201]
    seqs = [body["seq"] for _, _, body in answers if "seq" in body]
    assert seqs == sorted(seqs)


async def test_a_refusal_is_the_same_problem_either_way(client: Client, straight: list[str]) -> None:
    bad = client.post("x", path="/v1/rooms/nowhere/messages")
    refused = await client.ask(bad)
    assert straight == ["/v1/rooms/nowhere/messages"]
    again = await client.ask(bad[:30], bad[30:])
    assert len(straight) == 1
    assert refused == again
    assert (refused[0], refused[1]["content-type"]) == (404, "application/problem+json")
    assert refused[2]["code"] == "room-not-found"


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        (("content-type: text/plain",), 415),
        (("host: evil.example",), 400),
        (("origin: https://evil.example",), 403),
        (("sec-fetch-site: cross-site",), 403),
        (("authorization: Bearer nonsense",), 401),
    ],
)
async def test_what_is_refused_is_refused_straight_too(client: Client, extra: tuple[str, ...], status: int) -> None:
    lines = client.post("x").split(b"\r\n")
    name = extra[0].split(":")[0].encode()
    if name in (b"content-type", b"authorization"):
        lines = [line for line in lines if not line.startswith(name + b":")]
    request = b"\r\n".join([lines[0], *(line.encode() for line in extra), *lines[1:]])
    assert (await client.ask(request))[0] == status


async def test_a_foreign_host_is_refused(client: Client, straight: list[str]) -> None:
    assert (await client.ask(client.post("x", host="evil.example")))[0] == 421
    assert straight == []


async def test_a_body_that_is_no_json_is_refused_and_the_connection_goes_on(client: Client) -> None:
    path = "/v1/rooms/build/messages"
    assert (await client.ask(client.request("POST", path, b"{")))[0] == 400
    assert (await client.ask(client.request("POST", path, b'{"text": "a", "text": "b"}')))[0] == 400
    assert (await client.ask(client.request("POST", path, b'{"txt": "a"}')))[0] == 422
    assert (await client.ask(client.post("fine")))[0] == 201


async def test_a_key_gives_the_same_answer_again(client: Client, straight: list[str]) -> None:
    request = client.post("once", "idempotency-key: k1")
    first, again = await client.ask(request), await client.ask(request)
    assert len(straight) == 2
    assert again[2] == {**first[2], "deduplicated": True}


async def test_a_connection_that_is_not_kept_is_closed_after_its_answer(client: Client, straight: list[str]) -> None:
    status, headers, _ = await client.ask(client.post("bye", "connection: close"))
    assert (status, headers["connection"]) == (201, "close")
    assert straight
    assert await client.closed()


async def test_a_chunked_body_and_one_that_waits_for_100_continue_are_taken(client: Client) -> None:
    body = b'{"text": "in chunks"}'
    head = client.request("POST", "/v1/rooms/build/messages", b"", "content-type: application/json")
    chunked = head[:-2] + b"transfer-encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    assert (await client.ask(chunked))[0] == 201
    waiting = client.post("later", "expect: 100-continue")
    head, body = waiting.split(b"\r\n\r\n")
    assert (await client.ask(head + b"\r\n\r\n"))[0] == 100
    assert (await client.ask(body))[0] == 201


async def test_nobody_is_answered_straight_before_the_commit_returned(
    served: Served, client: Client, straight: list[str]
) -> None:
    slow = SlowCommit(served.hub.store)
    client.writer.write(client.post("on disk?"))
    answer = asyncio.create_task(client.answer())
    done, _ = await asyncio.wait({answer}, timeout=0.3)
    assert straight
    assert not done
    slow.release.set()
    assert (await answer)[0] == 201


async def test_who_hangs_up_with_two_requests_under_way_disturbs_nobody(
    served: Served, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    slow = SlowCommit(served.hub.store)
    other = await Client.of(served)
    other.writer.write(other.post("one") + other.post("two"))
    await asyncio.sleep(0.1)
    other.writer.transport.abort()
    await asyncio.sleep(0.1)
    slow.release.set()
    assert (await client.ask(client.post("three")))[0] == 201
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    await other.close()


async def test_who_hangs_up_before_the_answer_has_still_written(served: Served, client: Client) -> None:
    other = await Client.of(served)
    other.writer.write(other.post("said and gone"))
    await other.writer.drain()
    await other.close()
    texts: list[str] = []
    async with asyncio.timeout(10):
        while "said and gone" not in texts:
            _, _, page = await client.ask(client.request("GET", "/v1/rooms/build/messages"))
            texts = [message["text"] for message in page["items"]]


@pytest.mark.parametrize("where", ["build", "json_response"])
async def test_an_unexpected_failure_is_answered_and_logged(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(f"hub.server.http.{where}", broken)
    with caplog.at_level(logging.ERROR, "hub"):
        status, _, problem = await client.ask(client.post("x"))
    assert (status, problem["code"]) == (500, "internal")
    assert any(record.exc_info for record in caplog.records)


# --- idle connections ---------------------------------------------------------------------------------------------


class Loop:
    """Time and timers in the test's hands."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[SimpleNamespace] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay_s: float, call: Any) -> SimpleNamespace:
        timer = SimpleNamespace(at=self.now + delay_s, call=call)
        timer.cancel = lambda: self.timers.remove(timer)
        self.timers.append(timer)
        return timer

    def go_to(self, now: float) -> None:
        self.now = now
        for timer in [one for one in self.timers if one.at <= now]:
            self.timers.remove(timer)
            timer.call()


def idle_connection(loop: Loop) -> tuple[StraightHttp, SimpleNamespace]:
    closed = SimpleNamespace(yes=False)
    wire = SimpleNamespace(
        get_extra_info=lambda *_: None,
        is_closing=lambda: closed.yes,
        close=lambda: setattr(closed, "yes", True),
        resume_reading=lambda: None,
    )
    made = StraightHttp(Config(app=cast("Any", None), ws="none"), ServerState(), {}, asyncio.get_running_loop())
    made.connection_made(cast("Any", wire))
    made.loop = cast("Any", loop)
    return made, closed


async def test_an_idle_connection_is_closed_five_seconds_after_its_last_answer() -> None:
    loop = Loop()
    connection, closed = idle_connection(loop)
    connection.on_response_complete()
    loop.go_to(103)
    connection.on_response_complete()
    assert len(loop.timers) == 1, "one timer for a connection, not one for each request"
    loop.go_to(105.5)
    assert not closed.yes, "the answer at 103 gave it until 108"
    loop.go_to(108)
    assert closed.yes


async def test_a_request_that_has_begun_to_arrive_keeps_its_connection() -> None:
    loop = Loop()
    connection, closed = idle_connection(loop)
    connection.on_response_complete()
    loop.go_to(104)
    connection.data_received(b"POST /v1/rooms HTTP/1.1\r\n")
    loop.go_to(105.5)
    assert not closed.yes


async def test_a_connection_with_a_request_under_way_is_not_closed_as_idle() -> None:
    loop = Loop()
    connection, closed = idle_connection(loop)
    connection.on_response_complete()
    connection.cycle = cast("Any", SimpleNamespace(response_complete=False))
    loop.go_to(110)
    assert not closed.yes
    connection.cycle.response_complete = True
    connection.on_response_complete()
    loop.go_to(115)
    assert closed.yes


async def test_a_websocket_on_a_connection_that_answered_before_is_not_closed_as_idle() -> None:
    loop = Loop()
    connection, closed = idle_connection(loop)
    connection.on_response_complete()
    upgraded: list[bytes] = []
    protocol = SimpleNamespace(connection_made=lambda _: None, data_received=upgraded.append)
    connection.ws_protocol_class = cast("Any", lambda **_: protocol)
    connection.transport.set_protocol = lambda _: None  # type: ignore[assignment, method-assign]
    connection.url, connection.scope = b"/v1/ws", cast("Any", {"method": "GET", "headers": []})
    connection.handle_websocket_upgrade()
    loop.go_to(200)
    assert upgraded
    assert not closed.yes
