"""Writes of one turn together, frames made beforehand, and a closed connection that its reader does not empty."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode

from hub.server.coalesce import CoalescingTransport, CoalescingWebSocket, text_frame
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


class Wire:
    """A transport that keeps what is written until it is taken."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.left = 0
        self.closed = self.aborted = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.left += len(data)

    def get_write_buffer_size(self) -> int:
        return self.left

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def get_extra_info(self, _name: str) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


def over(wire: Wire) -> CoalescingTransport:
    return CoalescingTransport(cast("Any", wire), asyncio.get_running_loop())


async def test_what_is_written_now_comes_after_what_waited_and_nothing_is_written_twice() -> None:
    wire = Wire()
    transport = over(wire)
    transport.write(b"answer ")
    transport.write_now(b"event ")
    transport.write_now(b"event ")
    transport.write(b"answer")
    await eventually(lambda: len(wire.writes) == 3)
    assert b"".join(wire.writes) == b"answer event event answer"


async def test_a_connection_that_cannot_be_written_to_keeps_nothing_from_the_others() -> None:
    broken, whole = Wire(), Wire()

    def fail(_data: bytes) -> None:
        raise OSError("broken")

    broken.write = fail  # type: ignore[method-assign, assignment]
    for transport in (over(broken), over(whole)):
        transport.write(b"answer")
    await eventually(lambda: whole.writes == [b"answer"], what="the other one has its answer")


async def test_a_closed_connection_is_dropped_when_its_reader_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.server.coalesce.LET_GO_S", 0.05)
    wire = Wire()
    transport = over(wire)
    transport.write(b"much")
    transport.close()
    assert wire.closed
    assert not wire.aborted
    await eventually(lambda: wire.aborted)


async def test_a_slow_reader_still_gets_everything_after_a_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.server.coalesce.LET_GO_S", 0.01)
    wire = Wire()
    transport = over(wire)
    transport.write(b"much")
    looks: list[int] = []

    def takes_one_byte_between_looks() -> int:
        looks.append(wire.left)
        wire.left -= 1
        return looks[-1]

    monkeypatch.setattr(wire, "get_write_buffer_size", takes_one_byte_between_looks)
    transport.close()
    await eventually(lambda: looks[-1:] == [0])
    assert looks == [4, 3, 2, 1, 0]
    assert not wire.aborted


@given(st.binary(max_size=300) | st.integers(0, 70_000).map(lambda size: b"x" * size))
def test_a_text_frame_is_what_a_websocket_library_makes_of_it(text: bytes) -> None:
    assert text_frame(text) == Frame(Opcode.TEXT, text).serialize(mask=False)


class Intake:
    """A WebSocket protocol after its handshake, what it took at once and what it left in its queue, in order."""

    def __init__(self, takes: int) -> None:
        self.got: list[str] = []
        self._takes = takes
        config = Config(app=cast("Any", None), ws="none", ws_per_message_deflate=False, ws_ping_interval=None)
        self.protocol = CoalescingWebSocket(config, ServerState(), {}, asyncio.get_running_loop())
        self.protocol.connection_made(over(Wire()))  # type: ignore[arg-type]
        self.protocol.run_asgi = self._nothing  # type: ignore[method-assign]
        self.protocol.data_received(HANDSHAKE)
        self.protocol.conn.send_response(self.protocol.response)
        assert self.protocol.queue.get_nowait()["type"] == "websocket.connect"
        self.protocol.handshake_complete = True
        self.protocol.pending_ping_payload = PING
        self.protocol._give_texts(self._take)

    async def _nothing(self) -> None: ...

    def _take(self, text: bytes) -> bool:
        self._takes -= 1
        if self._takes >= 0:
            self.got.append(text.decode())
        return self._takes >= 0

    def feed(self, parts: list[bytes]) -> list[str]:
        for part in parts:
            self.protocol.data_received(part)
        while not self.protocol.queue.empty():
            message: Any = self.protocol.queue.get_nowait()
            if message["type"] == "websocket.receive":
                self.got.append(message["text"])
        return self.got


HANDSHAKE = (
    b"GET /v1/ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PING = b"ping"
sizes = st.one_of(st.integers(0, 300), st.sampled_from([125, 126, 127, 65535, 65536, 70000]))


def client_frames(size: int, number: int, pieces: int) -> bytes:
    """A text as a client sends it: masked, in so many fragments, with a ping or the answer to one among them."""
    text = (f"{number}:" + "ä" * size).encode()
    cut = len(text) // pieces
    made = b""
    for piece in range(pieces):
        last = piece == pieces - 1
        data = text[piece * cut :] if last else text[piece * cut : (piece + 1) * cut]
        frame = Frame(Opcode.CONT if piece else Opcode.TEXT, data, fin=last)
        made += frame.serialize(mask=True, extensions=[])
        made += Frame(Opcode.PING, b"?").serialize(mask=True, extensions=[]) if number % 3 == 0 else b""
        made += Frame(Opcode.PONG, PING).serialize(mask=True, extensions=[]) if number % 3 == 1 else b""
    return made


@settings(deadline=None, max_examples=200)
@given(st.data(), st.lists(st.tuples(sizes, st.integers(1, 3)), min_size=1, max_size=8), st.integers(0, 12))
async def test_texts_arrive_whole_and_in_order_however_the_stream_is_cut(
    data: st.DataObject, texts: list[tuple[int, int]], takes: int
) -> None:
    stream = b"".join(client_frames(size, number, pieces) for number, (size, pieces) in enumerate(texts))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    got = Intake(takes).feed(parts)
    assert got == [f"{number}:" + "ä" * size for number, (size, _) in enumerate(texts)]


async def test_what_looks_like_a_frame_inside_a_frame_is_not_one() -> None:
    """A text whose bytes, from its middle on, are those of an empty frame; its mask leaves them as they are."""
    text = "⁀1234⁀5678".encode()
    stream = 2 * (bytes((0x81, 0x80 + len(text))) + b"\0\0\0\0" + text)
    assert b"\x81\x80" in text
    for cut in range(len(stream) + 1):
        assert Intake(9).feed([stream[:cut], stream[cut:]]) == [text.decode()] * 2


async def test_a_text_between_the_pieces_of_another_ends_the_connection() -> None:
    piece = Frame(Opcode.TEXT, b"half", fin=False).serialize(mask=True, extensions=[])
    whole = Frame(Opcode.TEXT, b"whole").serialize(mask=True, extensions=[])
    intake = Intake(9)
    assert intake.feed([piece, whole]) == []
    assert isinstance(intake.protocol.conn.parser_exc, ProtocolError)
