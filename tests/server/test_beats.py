"""Heartbeats of many connections come together."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.config import Config
from uvicorn.server import ServerState

from hub.server.beats import BEAT_S, next_beat
from hub.server.coalesce import CoalescingWebSocket

pytestmark = pytest.mark.anyio


@given(st.floats(0, 1e7), st.floats(0, 1e3))
def test_a_beat_is_never_early_and_at_most_one_beat_late(now_s: float, delay_s: float) -> None:
    assert now_s + delay_s <= next_beat(now_s, delay_s) <= now_s + delay_s + BEAT_S


async def test_connections_that_opened_at_different_times_are_pinged_together() -> None:
    clock = SimpleNamespace(now=100.0)
    due: list[float] = []
    loop = SimpleNamespace(
        time=lambda: clock.now, call_later=lambda delay_s, _ping: due.append(round(clock.now + delay_s, 6))
    )
    config = Config(app=cast("Any", None), ws="none", ws_ping_interval=20)
    for opened_at in (100.01, 100.1, 100.2):
        clock.now = opened_at
        connection = CoalescingWebSocket(config, ServerState(), {}, asyncio.get_running_loop())
        connection.loop = cast("Any", loop)
        connection.schedule_ping()
    assert due == [120.25] * 3
