"""A Chromium that no test tool looks into, except through one page of the extension.

Playwright attaches to every tab and tells it that it has the focus, so no tab of its is ever hidden or slowed down. Here
only the extension's own page is attached to; the tabs live as they do for people.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx2

from tests.extension.conftest import EXTENSION, ID, Desk, chromium, enter, flags, hub_and_site
from tests.extension.wire import Wire, wire_to
from tests.support.waiting import eventually

OPTIONS = f"chrome-extension://{ID}/ui/options.html"
WHERE = "() => [location.href, document.readyState === 'complete', Boolean(globalThis.chrome?.runtime?.id)]"


class PlainPage:
    """One attached target."""

    def __init__(self, wire: Wire, target: str, session: str) -> None:
        self.wire, self._target, self.session = wire, target, session

    @classmethod
    async def opened(cls, wire: Wire, url: str) -> Self:
        target = (await wire.send("Target.createTarget", url=url))["targetId"]
        session = (await wire.send("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        return cls(wire, target, session)

    async def close(self) -> None:
        await self.wire.send("Target.closeTarget", targetId=self._target)

    async def evaluate(self, expression: str, arg: Any = None, /) -> Any:
        """What the function gives, for one JSON argument. Raises AssertionError with what it threw."""
        call = {"expression": f"({expression})({json.dumps(arg)})", "awaitPromise": True, "returnByValue": True}
        said = await self.wire.send("Runtime.evaluate", self.session, **call)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")


@asynccontextmanager
async def _running(profile: Path, more: list[str], screen: str) -> AsyncIterator[Wire]:
    command = [chromium(), "--no-sandbox", f"--user-data-dir={profile}", *more, "about:blank"]
    command[1:1] = ["--ozone-platform=x11", "--window-position=0,0"] if screen else ["--headless=new"]
    env = os.environ | ({"DISPLAY": screen, "XAUTHORITY": os.devnull} if screen else {})
    with (profile / "chromium.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        async with wire_to(profile) as wire:
            yield wire
    finally:
        await asyncio.to_thread(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:  # a browser left running would slow down every test after this one
        process.kill()
        process.wait(20)


@asynccontextmanager
async def plain_desk(folder: Path, *, screen: str = "") -> AsyncIterator[Desk]:
    """Hub, site and browser, paired; without a `screen` (an X display) nobody sees the browser."""
    async with (
        hub_and_site(folder) as (world, site, profile),
        _running(profile, flags(EXTENSION, site), screen) as wire,
    ):
        ui = await _extension_page(wire)
        async with httpx2.AsyncClient(timeout=20) as http:
            desk = Desk(world, site, ui, http, profile)
            await enter(desk)
            yield desk


async def _extension_page(wire: Wire) -> PlainPage:
    """The options page, once it is there.

    A new target shows an empty page first, complete, for some 10 ms before it goes anywhere: look at the same one until it
    has arrived. Where it came too early for the extension it shows an error for good, and is sent again.
    """
    page = await PlainPage.opened(wire, OPTIONS)

    async def opened() -> bool:
        at, whole, ours = await page.evaluate(WHERE)
        if at.startswith("chrome-error:"):
            await wire.send("Page.navigate", page.session, url=OPTIONS)
        assert (at, whole, ours) == (OPTIONS, True, True)
        return True

    await eventually(opened, within_s=30, what="the extension is loaded")
    return page
