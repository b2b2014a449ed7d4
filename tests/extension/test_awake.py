"""What keeps the worker there, or brings it back, when nobody touches the browser: a ping, and an alarm.

A test tool that looks into a worker keeps it alive; here nothing looks into it, and only the hub is asked. The third leg,
the page's port, is what every test stands on that kills the worker in mid job.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.extension.conftest import Desk
from tests.extension.plain import PlainPage, plain_desk
from tests.extension.test_hidden import behind
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with plain_desk(tmp_path) as desk:
        yield desk


async def test_a_worker_with_nothing_to_do_stays_beyond_the_thirty_seconds_of_an_idle_one(desk: Desk) -> None:
    """The second ping of both connections, 40 s after they began, comes over the same connections."""
    _, name = await behind(desk)
    await closed(desk)
    before = await pings(desk)
    missed: list[str] = []

    async def pinged() -> bool:
        if (now := await reach(desk, name)) != "stream":
            missed.append(now)
        return await pings(desk) >= before + 4

    await eventually(pinged, within_s=100, what="both connections were pinged twice")
    assert missed == [], "the connection was lost meanwhile"


async def test_a_worker_that_was_ended_comes_back_by_its_alarm_where_no_tab_would_wake_it(desk: Desk) -> None:
    assert isinstance(desk.ui, PlainPage)
    await closed(desk)
    assert await reach(desk, "local") == "stream"
    targets = (await desk.ui.wire.send("Target.getTargets"))["targetInfos"]
    (worker,) = (target["targetId"] for target in targets if target["type"] == "service_worker")
    await desk.ui.wire.send("Target.closeTarget", targetId=worker)
    await eventually(lambda: reaches(desk, "local", "poll"), what="the worker is gone")
    await eventually(lambda: reaches(desk, "local", "stream"), within_s=60, what="the alarm brought it back")


async def closed(desk: Desk) -> None:
    """From here on no page of the extension is there that could wake the worker."""
    assert isinstance(desk.ui, PlainPage)
    await desk.ui.close()


async def reaches(desk: Desk, agent: str, how: str) -> bool:
    return await reach(desk, agent) == how


async def reach(desk: Desk, agent: str) -> str:
    """How the hub reaches an agent now: `stream` while its connection stands."""
    members = (await desk.http.get("/v1/rooms/build/members")).json()["items"]
    return next(str(member["reach"]) for member in members if member["agent"] == agent)


async def pings(desk: Desk) -> int:
    """How often all connections together have pinged."""
    metrics = (await desk.http.get("/metrics")).text
    found = re.search(r'^bridge_operations_total\{operation="inbox\.unread",outcome="ok"\} ([\d.]+)$', metrics, re.M)
    return int(float(found[1])) if found else 0
