"""Heartbeats of many connections come together, each of them, and let others have their turn."""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import weakref
from functools import partial
from typing import Any, cast

import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Close, Frame, Opcode

from hub.server import beats
from hub.server.beats import BEAT_S, Beats, next_beat
from mcp_bridge.serve import Served

pytestmark = pytest.mark.anyio


@given(st.floats(0, 1e7, allow_subnormal=False), st.floats(0, 1e3, allow_subnormal=False))
def test_a_beat_is_never_early_and_at_most_one_beat_late(now_s: float, delay_s: float) -> None:
    assert now_s + delay_s <= next_beat(now_s, delay_s) <= now_s + delay_s + BEAT_S


class Clockwise:
    """A loop whose time the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.timers: list[tuple[float, Any]] = []
        self.soon: list[Any] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, at_s: float, call: Any, *args: Any) -> None:
        self.timers.append((at_s, partial(call, *args)))

    def call_soon(self, call: Any, *args: Any) -> None:
        self.soon.append(partial(call, *args))

    def strike(self) -> None:
        (_, call), *self.timers = self.timers
        call()


async def test_calls_wanted_at_different_times_share_one_timer() -> None:
    loop, called = Clockwise(), list[int]()
    common = Beats(cast("Any", loop))
    for number, asked_at_s in enumerate((100.1, 100.9, 101.9)):
        loop.now_s = asked_at_s
        common.call_later(20, partial(called.append, number))
    assert [at_s for at_s, _ in loop.timers] == [122.0]
    loop.strike()
    assert called == [0, 1, 2]


async def test_a_cancelled_call_does_not_come_and_a_broken_one_takes_no_other_with_it() -> None:
    loop, called = Clockwise(), list[str]()
    common = Beats(cast("Any", loop))
    gone = common.call_later(1, partial(called.append, "gone"))

    def again() -> None:
        called.append("again")
        common.call_later(1, partial(called.append, "next"))

    def broken() -> None:
        raise OSError("gone")

    common.call_later(1, again)
    common.call_later(1, broken)
    common.call_later(1, partial(called.append, "last"))
    gone.cancel()
    loop.strike()
    assert called == ["again", "last"]
    loop.strike()
    assert called == ["again", "last", "next"]


def nothing() -> None: ...


async def test_nothing_is_kept_of_what_was_cancelled() -> None:
    """A stream waits for its token's end anew after every change of agents or tokens."""
    common = Beats(cast("Any", Clockwise()))
    kept = weakref.WeakSet(common.call_later(200, nothing) for _ in range(3))
    assert len(kept) == 3
    for beat in list(kept):
        beat.cancel()
    del beat
    gc.collect()
    assert len(kept) == 0


async def test_a_thousand_heartbeats_let_others_have_their_turn() -> None:
    loop, called = Clockwise(), list[int]()
    common = Beats(cast("Any", loop))
    for number in range(1000):
        common.call_later(1, partial(called.append, number))
    loop.strike()
    turns = 1
    while loop.soon:
        assert len(called) <= 50 * turns, "the loop's other work comes between"
        loop.soon.pop(0)()
        turns += 1
    assert called == list(range(1000))


class RawWebSocket:
    """A client that answers pings only when told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    @classmethod
    async def open(cls, served: Served) -> RawWebSocket:
        host, port = served.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"GET /v1/ws HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {served.token}\r\n"
            "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
            f"sec-websocket-key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n".encode()
        )
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        return cls(reader, writer)

    async def frame(self) -> tuple[int, bytes]:
        first, size = await asyncio.wait_for(self._reader.readexactly(2), 5)
        return first & 0x0F, await self._reader.readexactly(size)

    async def rest(self) -> bytes:
        """What comes until the end of the connection."""
        return await asyncio.wait_for(self._reader.read(), 5)

    def send(self, opcode: Opcode, data: bytes) -> None:
        self.writer.write(Frame(opcode, data).serialize(mask=True, extensions=[]))


@pytest.fixture
def quick_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beats, "BEAT_S", 0.05)
    monkeypatch.setattr("mcp_bridge.serve.PING_S", 0.1)


@pytest.mark.parametrize("in_pieces", [False, True])
async def test_a_client_that_answers_every_ping_stays_connected(
    quick_pings: None, served: Served, in_pieces: bool
) -> None:
    """Each ping is another one; an answer the hub's short way does not take is the library's."""
    client = await RawWebSocket.open(served)
    pings = []
    for _ in range(6):
        opcode, payload = await client.frame()
        assert opcode == Opcode.PING
        pings.append(payload)
        if in_pieces:
            for byte in Frame(Opcode.PONG, payload).serialize(mask=True, extensions=[]):
                client.writer.write(bytes([byte]))
                await checkpoint()
        else:
            client.send(Opcode.PONG, payload)
    assert len(set(pings)) == 6
    client.writer.close()


@pytest.mark.parametrize("wrong", [None, b"", b"oops", b"12345"])
async def test_a_client_that_does_not_answer_is_let_go(quick_pings: None, served: Served, wrong: bytes | None) -> None:
    client = await RawWebSocket.open(served)
    opcode, _ = await client.frame()
    assert opcode == Opcode.PING
    if wrong is not None:
        client.send(Opcode.PONG, wrong)
    opcode, payload = await client.frame()
    assert opcode == Opcode.CLOSE
    assert Close.parse(payload) == Close(1011, "keepalive ping timeout")
    assert await client.rest() == b"", "the hub ended the connection"
    client.writer.close()


async def test_an_answer_costs_the_librarys_parser_nothing(
    quick_pings: None, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await RawWebSocket.open(served)
    parsed: list[bytes] = []
    monkeypatch.setattr(WebSocketsSansIOProtocol, "data_received", lambda self, data: parsed.append(data))
    for _ in range(3):
        _, payload = await client.frame()
        client.send(Opcode.PONG, payload)
    assert parsed == []
    client.writer.close()
