"""Whole messages with file descriptors between the hub and its runner, over a UNIX socket pair. Never blocks.

Each message is a JSON head, a zero byte, and raw bytes (of output). Messages keep their order.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

_MOST_BYTES: Final = 256 * 1024  # of one message; output comes in pieces of 64 KiB
_MOST_FDS: Final = 128
OnMessage = Callable[[dict[str, Any], bytes, list[int]], None]


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends that keep message borders."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Wire:
    """One end. `on_close` is called once, when the other end is gone."""

    def __init__(self, sock: socket.socket, on_message: OnMessage, on_close: Callable[[], None]) -> None:
        self._sock, self._on_message, self._on_close = sock, on_message, on_close
        self._waiting: deque[tuple[bytes, Sequence[int], bool]] = deque()
        self._loop = asyncio.get_running_loop()
        self._sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._receive)

    def send(self, head: dict[str, Any], body: bytes = b"", fds: Sequence[int] = (), *, give: bool = False) -> None:
        """Send, now or as soon as there is room; with `give` the descriptors are closed here afterwards."""
        self._waiting.append((json.dumps(head).encode() + b"\0" + body, fds, give))
        if len(self._waiting) == 1:
            self._flush()

    def close(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._loop.remove_writer(self._sock.fileno())
            self._sock.close()

    def _flush(self) -> None:
        while self._waiting:
            data, fds, give = self._waiting[0]
            try:
                socket.send_fds(self._sock, [data], list(fds))
            except BlockingIOError:
                self._loop.add_writer(self._sock.fileno(), self._flush)
                return
            except OSError:  # the other end is gone; reading will say so
                self._waiting.clear()
                return
            self._waiting.popleft()
            for fd in fds if give else ():
                os.close(fd)
        self._loop.remove_writer(self._sock.fileno())

    def _receive(self) -> None:
        try:
            data, fds, _flags, _from = socket.recv_fds(self._sock, _MOST_BYTES, _MOST_FDS, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if not data:
            self.close()
            self._on_close()
            return
        head, _zero, body = data.partition(b"\0")
        self._on_message(json.loads(head), body, fds)
