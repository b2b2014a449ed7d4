"""Tells when there may be a new job: the hub's event stream rings, so nobody asks over and over."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import httpx2

_AGAIN_S: Final = 30.0
_FIRST_PAUSE_S: Final = 0.5
_LAST_PAUSE_S: Final = 20.0


class Doorbell:
    """Rings at every new message, at every connection made, and every 30 s whatever happens."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._rung = asyncio.Event()

    async def wait(self) -> None:
        """Returns when it rang since the last time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_AGAIN_S):  # `wait_for` of Python 3.11 swallows a cancellation while it rings
                await self._rung.wait()
        self._rung.clear()

    async def listen(self) -> None:
        """Follow the stream for ever; the connection also shows the agent as online."""
        pause_s = _FIRST_PAUSE_S
        while True:
            with suppress(httpx2.HTTPError):
                async with self._http.stream("GET", "/v1/stream", timeout=httpx2.Timeout(60, connect=5)) as lines:
                    lines.raise_for_status()
                    pause_s = _FIRST_PAUSE_S
                    self._rung.set()  # what came before the stream began is not in it
                    async for line in lines.aiter_lines():
                        if line.startswith("event: message"):
                            self._rung.set()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LAST_PAUSE_S)
