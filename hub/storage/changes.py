"""Notices that rows were changed, for who would otherwise have to look again and again."""

from __future__ import annotations

import asyncio


class Changes:
    """How many transactions changed rows since the start."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def add(self) -> None:
        self.count += 1
        while self._waiting:
            waiter = self._waiting.pop()
            if not waiter.done():
                waiter.set_result(None)

    async def beyond(self, count: int, timeout_s: float | None = None) -> bool:
        """Wait until there were more than `count`; false when time ran out first."""
        if self.count > count:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(waiter)
        return True
