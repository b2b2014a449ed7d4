"""Waiting for the next job can be ended at any moment."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from anyio.lowlevel import checkpoint

from desktop_agent.doorbell import Doorbell

pytestmark = pytest.mark.anyio


async def test_who_is_stopped_while_it_rings_stops() -> None:
    """Found in CI: Ctrl-C in the moment in which the stream was connected was swallowed, and nothing ended."""
    for moment in range(40):
        async with httpx2.AsyncClient(
            base_url="http://hub", transport=httpx2.MockTransport(lambda _: httpx2.Response(200))
        ) as http:
            bell = Doorbell(http)
            waiting, listening = asyncio.create_task(bell.wait()), asyncio.create_task(bell.listen())
            for _ in range(moment):
                await checkpoint()
            stopped = waiting.cancel()
            listening.cancel()
            await asyncio.gather(waiting, listening, return_exceptions=True)
            assert waiting.cancelled() == stopped, f"after {moment} turns of the loop"
