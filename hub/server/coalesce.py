"""Sockets that write as rarely as possible: all frames that wait in one call, a whole response in one piece.

uvicorn writes every part as it comes, one system call each. Collecting what one turn of the loop produced saves most
of them: fan-out to many sockets gets several times faster. A response that is complete when it is sent needs no ASGI
messages: the extension `WHOLE` takes its head and body at once, at half the cost. Frames that many sockets get alike
are made once for all: the extensions `FRAMES` and `CHUNKS` take them as they go over the wire.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from hub.server.beats import beats_of
from hub.server.security import Scope, Send

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without its compiled part
    from websockets.utils import apply_mask

log = logging.getLogger("hub")
LET_GO_S: Final = 10
WHOLE: Final = "bridge.whole_response"
"""ASGI extension: `respond(send, head, body)` answers in one write; false when that is not possible now.

`head` is the status line and the headers, each with its line end, without the empty line.
"""

CHUNKS: Final = "bridge.ready_chunks"
"""ASGI extension: `write(scope, chunk)` puts a chunk (see `chunk`) of this request's begun response on the wire at once.

False, and nothing written, when the socket's buffers are full, the response has no chunks or has ended, or another
request came after it on the same connection: `send` the body then.
"""

FRAMES: Final = "bridge.ready_frames"
"""ASGI extension: `write(frames)` puts whole WebSocket frames (see `text_frame`) on the wire at once.

`soon` leaves them to the end of the loop's turn. False, and nothing written, when the socket's buffers are full or it is
closing: `send` them then.
"""

TEXTS: Final = "bridge.texts"
"""ASGI extension: `give(take)` lets `take(text)` have whole texts as they arrive, as UTF-8, on the loop.

What it does not take (false) and what comes while that waits is received as usual, in order.
"""
Take = Callable[[bytes], bool]


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def text_frame(text: bytes) -> bytes:
    """A server's text frame (RFC 6455, 5.2): final, not masked. `text` is UTF-8."""
    size = len(text)
    if size < 126:
        head = bytes((0x81, size))
    elif size < 65536:
        head = b"\x81\x7e" + size.to_bytes(2, "big")
    else:
        head = b"\x81\x7f" + size.to_bytes(8, "big")
    return head + text


def chunk(body: bytes) -> bytes:
    """A chunk of a response (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(body), body)


class _Turn:
    """Who has something to write at the end of this turn of the loop: one callback for all of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[CoalescingTransport] = []

    def add(self, transport: CoalescingTransport) -> None:
        if not self._waiting:
            self._loop.call_soon(self._end)
        self._waiting.append(transport)

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport in waiting:
            try:
                transport.flush()
            except Exception:  # its connection is broken; the others' answers must not be lost with it
                log.exception("writing to a connection failed")


_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turn] = WeakKeyDictionary()


def _turn_of(loop: asyncio.AbstractEventLoop) -> _Turn:
    turn = _TURNS.get(loop)
    if turn is None:
        turn = _TURNS[loop] = _Turn(loop)
    return turn


def short_text(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The text of a client's whole text frame of less than 64 KiB at `at`, and where it ends; None for anything else."""
    if len(data) < at + 6 or data[at] != 0x81:
        return None
    size, start = data[at + 1] - 0x80, at + 6
    if size == 126:
        size, start = data[at + 2] << 8 | data[at + 3], at + 8
        if size < 126:
            return None
    elif not 0 <= size < 126:
        return None
    if len(data) < start + size:
        return None
    return apply_mask(data[start : start + size], data[start - 4 : start]), start + size


class Between:
    """Keeps track of where a client's stream of frames is: `frames` when the next byte begins one."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    @property
    def frames(self) -> bool:
        return not self._left and not self._head

    def follow(self, data: bytes) -> None:
        at, end = 0, len(data)
        while at < end:
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
                continue
            head = self._head + data[at : at + 14 - len(self._head)]
            sizes = _sizes(head)
            if sizes is None:
                self._head = head
                return
            at += sizes[0] - len(self._head)
            self._head, self._left = b"", sizes[1]


def _sizes(head: bytes) -> tuple[int, int] | None:
    """Of a frame that begins so: the sizes of its head and of its payload. None when more is needed to say."""
    if len(head) < 2:
        return None
    size, most = head[1] & 0x7F, 2 + (4 if head[1] & 0x80 else 0)
    more = {126: 2, 127: 8}.get(size, 0)
    if len(head) < most + more:
        return None
    return most + more, int.from_bytes(head[2 : 2 + more], "big") if more else size


class CoalescingTransport:
    """Wraps a transport; everything but writing and closing goes straight to it."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._turn = _turn_of(loop)
        self._parts: list[bytes] = []
        self.is_closing = transport.is_closing  # asked twice per request: not through `__getattr__`

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._turn.add(self)
        self._parts.append(data)

    def write_now(self, data: bytes) -> None:
        """Write without waiting for the end of the loop's turn, after what waits already."""
        if self._parts:
            self._parts.append(data)
            self.flush()
        else:
            self._transport.write(data)

    def writelines(self, parts: list[bytes]) -> None:
        for part in parts:
            self.write(part)

    def flush(self) -> None:
        """Hand what was written to the transport now."""
        if self._parts:
            parts, self._parts = self._parts, []
            if not self._transport.is_closing():
                self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def close(self) -> None:
        """Close when everything is written. A reader that takes nothing for 10 s does not get the rest."""
        self.flush()
        closing = self._transport.is_closing()
        self._transport.close()
        if not closing:
            self._let_go(None)

    def _let_go(self, before: int | None) -> None:
        try:
            left = self._transport.get_write_buffer_size()
        except AttributeError:  # asyncio's TLS transport, once the connection is gone
            return
        if left and left == before:
            self._transport.abort()
        elif left:
            self._loop.call_later(LET_GO_S, self._let_go, left)

    def write_eof(self) -> None:
        self.flush()
        self._transport.write_eof()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size() + sum(map(len, self._parts))


class CoalescingHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol on a coalescing transport; a WebSocket upgrade keeps it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(CoalescingTransport(transport, self.loop))  # type: ignore[arg-type]
        self._extensions: dict[str, Any] = {WHOLE: self._respond, CHUNKS: self._write_chunk}

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = self._extensions

    def _respond(self, send: Send, head: bytes, body: bytes) -> bool:
        """See `WHOLE`. What uvicorn does in `RequestResponseCycle.send`, for a response that is there in full."""
        cycle = getattr(send, "__self__", None)
        if not isinstance(cycle, RequestResponseCycle) or cycle.response_started or self.flow.write_paused:
            return False
        if cycle.default_headers or cycle.scope["method"] == "HEAD":
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        if not cycle.disconnected:
            end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
            self.transport.write(b"".join((head, end, body)))
            if not cycle.keep_alive:
                self.transport.close()
        cycle.on_response()
        return True

    def _write_chunk(self, scope: Scope, data: bytes) -> bool:
        """See `CHUNKS`."""
        cycle = self.cycle
        if cycle.scope is not scope or self.flow.write_paused or cycle.disconnected:
            return False
        if not cycle.chunked_encoding or cycle.response_complete or self.transport.is_closing():
            return False
        self.transport.write_now(data)  # type: ignore[attr-defined]
        return True


class CoalescingWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol that takes frames made beforehand, and hands texts over without a queue."""

    _take: Take | None = None
    _between: Between | None = None

    def handle_connect(self, event: Request) -> None:
        if not self.conn.reader.buffer:
            self._between = Between()
        super().handle_connect(event)
        if not self.close_sent and isinstance(self.transport, CoalescingTransport):
            self.scope["extensions"].update({FRAMES: self._write_frames, TEXTS: self._give_texts})  # type: ignore[dict-item]

    def _give_texts(self, take: Take) -> None:
        """See `TEXTS`."""
        self._take = take

    def data_received(self, data: bytes) -> None:
        """Whole short texts at the start are read here; the library's parser, for everything else, costs five times more."""
        between = self._between
        if between is not None:
            if between.frames:
                if self._is_pong(data):
                    self.pending_ping_payload = None
                    return
                if self._take is not None and (taken := self._take_whole(data, self._take)):
                    data = data[taken:]
                    if not data:
                        return
            between.follow(data)
        super().data_received(data)

    def _take_whole(self, data: bytes, take: Take) -> int:
        """How many bytes at the start were whole texts that were taken."""
        at = 0
        while (found := short_text(data, at)) is not None:
            text, end = found
            if not self._takes_texts() or self.conn.current_size is not None or not is_utf8(text) or not take(text):
                break
            at = end
        return at

    def _takes_texts(self) -> bool:
        """Not while earlier ones wait in the queue."""
        open_ = not self.close_sent and self.conn.state is State.OPEN
        return open_ and not self.read_paused and self.queue.empty()

    def handle_text(self, event: Frame) -> None:
        """A whole text goes straight to who takes it."""
        if self._take is not None and event.fin and self._takes_texts():
            data = bytes(event.data)
            if is_utf8(data) and self._take(data):
                return
        super().handle_text(event)

    def schedule_ping(self) -> None:
        """On the beat of all connections."""
        assert self.ping_interval is not None
        beat = beats_of(self.loop).call_later(self.ping_interval, self.send_keepalive_ping)
        self.ping_timer = beat  # type: ignore[assignment]

    def send_keepalive_ping(self) -> None:
        """As uvicorn's, but the time for the answer ends with the next ping: one timer for both."""
        self.ping_timer = None
        if self.close_sent or self.transport.is_closing():
            return
        if self.pending_ping_payload is not None:
            self.keepalive_timeout()
            return
        self.pending_ping_payload = payload = secrets.token_bytes(4)
        self.transport.write(b"\x89\x04" + payload)
        self.schedule_ping()

    def _is_pong(self, data: bytes) -> bool:
        """Whether this is the answer to the ping and nothing else; others are the library's."""
        if len(data) != 10 or data[0] != 0x8A or data[1] != 0x84:
            return False
        return apply_mask(data[6:], data[2:6]) == self.pending_ping_payload

    async def send(self, message: ASGISendEvent) -> None:
        """Closing does not wait for a reader that takes nothing; it was given up because of that."""
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)

    def _write_frames(self, frames: bytes, *, soon: bool = False) -> bool:
        """See `FRAMES`. A socket that is full pauses writing; what it gets then has to be waited for."""
        if self.close_sent or not self.writable.is_set() or self.conn.state is not State.OPEN:
            return False
        if soon:
            self.transport.write(frames)
        else:
            self.transport.write_now(frames)  # type: ignore[attr-defined]
        return True
