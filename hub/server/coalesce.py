"""Sockets that write as rarely as possible: all frames that wait in one call, a whole response in one piece.

uvicorn writes every part as it comes, one system call each. Collecting what one turn of the loop produced saves most
of them: fan-out to many sockets gets several times faster. A response that is complete when it is sent needs no ASGI
messages: the extension `WHOLE` takes its head and body at once, at half the cost.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from hub.server.security import Send

WHOLE: Final = "bridge.whole_response"
"""ASGI extension: `respond(send, head, body)` answers in one write; false when that is not possible now.

`head` is the status line and the headers, each with its line end, without the empty line.
"""


class CoalescingTransport:
    """Wraps a transport; everything but writing and closing goes straight to it."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def writelines(self, parts: list[bytes]) -> None:
        for part in parts:
            self.write(part)

    def _flush(self) -> None:
        if self._parts:
            parts, self._parts = self._parts, []
            if not self._transport.is_closing():
                self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size() + sum(map(len, self._parts))


class CoalescingHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol on a coalescing transport; a WebSocket upgrade keeps it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(CoalescingTransport(transport, self.loop))  # type: ignore[arg-type]
        self._extensions: dict[str, Any] = {WHOLE: self._respond}

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
