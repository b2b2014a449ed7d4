"""Writes of one turn together, frames made beforehand, and a closed connection that its reader does not empty."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from hub.server.coalesce import CoalescingTransport, text_frame
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
