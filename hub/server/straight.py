"""Requests that go straight from the socket to the store: those that come in one piece and are one transaction.

uvicorn makes a scope, a task and six coroutines for each request before a handler runs. A write that has nothing to
wait for but its commit needs none of them: it is begun where its last byte is parsed and answered where its commit is
reported. Everything else, and everything that is refused before it begins, goes uvicorn's way, from its first byte.
"""

from __future__ import annotations

import re
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from hub.server.coalesce import CoalescingHttp
from hub.server.security import MOST_HEADER_BYTES, Begin, Response

_LONGEST: Final = 256
_PLAIN: Final = re.compile(rb"/[\w@.~/-]*", re.ASCII)  # no query, nothing encoded


class _NoEvent:
    """Stands where uvicorn wakes a task that reads the body."""

    def set(self) -> None: ...


class _Begun:
    """A request under way, as uvicorn's protocol sees one."""

    __slots__ = ("_protocol", "disconnected", "keep_alive", "response_complete")

    message_event: Final = _NoEvent()
    scope: Final = None

    def __init__(self, protocol: StraightHttp, *, keep_alive: bool) -> None:
        self._protocol = protocol
        self.keep_alive = keep_alive
        self.response_complete = self.disconnected = False

    def answer(self, response: Response) -> None:
        head, body = response
        self.response_complete = True
        transport = self._protocol.transport
        if not self.disconnected and not transport.is_closing():
            end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
            write = getattr(transport, "write_now", transport.write)  # nothing else is written to it in this turn
            write(b"".join((head, end, body)))
            if not self.keep_alive:
                transport.close()
        self._protocol.on_response_complete()


class StraightHttp(CoalescingHttp):
    """uvicorn's HTTP protocol that offers whole requests to the app's `begin` first."""

    def __init__(self, config: Any, *args: Any, **named: Any) -> None:
        super().__init__(config, *args, **named)
        self._begin: Begin | None = getattr(config.app, "begin", None)
        self._fits = False  # what came now is small
        self._small = False  # so is the request, which began with it
        self._held = False
        self._body = b""
        self._alive_at = 0.0

    def data_received(self, data: bytes) -> None:
        self._alive_at = self.loop.time()
        self._small, self._fits = False, len(data) <= MOST_HEADER_BYTES
        super().data_received(data)
        if self._held:  # the rest of it is still on its way
            self._held = False
            if not self.transport.is_closing():
                self._go_uvicorns_way()

    # --- between requests -------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """As uvicorn's, but for the timer that ends an idle connection: set once, not per request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._alive_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_again(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        """Only when the connection ends: until then the timer itself finds out what came since."""
        if self.transport.is_closing():
            super()._unset_keepalive_if_required()

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._is_busy():
            return  # answered later, it sets the timer again
        left_s = self._alive_at + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._look_again(left_s)
        else:
            super().timeout_keep_alive_handler()

    def _is_busy(self) -> bool:
        """Whether a request is under way."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def handle_websocket_upgrade(self) -> None:
        super()._unset_keepalive_if_required()
        super().handle_websocket_upgrade()

    def _look_again(self, in_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(in_s, self.timeout_keep_alive_handler)

    # --- what the parser found --------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Without the scope, which most requests here do not need."""
        self._small = self._fits
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        self._body = b""
        self._held = self._may_go_straight()
        if not self._held:
            self._go_uvicorns_way()

    def on_body(self, body: bytes) -> None:
        if self._held:
            self._body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._held:
            super().on_message_complete()
            return
        self._held = False
        if not self._goes_straight():
            self._go_uvicorns_way()
            super().on_message_complete()

    def _may_go_straight(self) -> bool:
        """Whether it is worth waiting for the end of the request: nothing else is under way, nothing special asked."""
        if self._begin is None or not self._small or self.parser.get_method() != b"POST":
            return False
        if self.expect_100_continue or self.limit_concurrency is not None or self.server_state.default_headers:
            return False
        if self._is_busy() or self.pipeline or self.flow.write_paused:
            return False
        return self.parser.get_http_version() == "1.1" and not self.parser.should_upgrade()

    def _goes_straight(self) -> bool:
        url, headers = self.url, dict(self.headers)
        if len(url) > _LONGEST or not _PLAIN.fullmatch(url) or len(headers) != len(self.headers):
            return False
        assert self._begin is not None
        before, begun = self.cycle, _Begun(self, keep_alive=self.parser.should_keep_alive())
        self.cycle = begun  # type: ignore[assignment]  # all that uvicorn's protocol asks of a cycle
        if self._begin(url.decode(), headers, self._body, begun.answer):
            return True
        self.cycle = before
        return False

    def _go_uvicorns_way(self) -> None:
        """From the first byte on, as if nothing had been held back."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()
        if self._body:
            super().on_body(self._body)
