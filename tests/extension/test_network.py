"""Local Network Access is enforced in the tests' browser: a public page is kept from this machine, the worker is not."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page

from tests.extension.conftest import Rig
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.browser]
REACH = "(to) => fetch(to, {mode: 'no-cors'}).then(() => 'reached', (error) => String(error))"
SOON = 5


async def reach(rig: Rig, url: str) -> tuple[str, str]:
    """What a page's own script gets from the hub, and why the browser says it was refused."""
    page: Page = await rig.context.new_page()
    await page.goto(url)
    session = await rig.context.new_cdp_session(page)
    reasons: list[str] = []

    def failed(event: dict[str, Any]) -> None:
        if "corsErrorStatus" in event:
            reasons.append(event["corsErrorStatus"]["corsError"])

    session.on("Network.loadingFailed", failed)
    await session.send("Network.enable")
    got = await page.evaluate(REACH, f"{rig.world.url}/livez")
    if got != "reached":
        await eventually(lambda: reasons, within_s=SOON, what="the browser says why")
    await page.close()
    return got, "".join(reasons)


async def test_a_page_of_claude_cannot_reach_the_hub_and_the_extension_can(rig: Rig) -> None:
    """The same page, the same server, the same request: only where the browser takes the page to come from differs."""
    assert await reach(rig, "https://near.example/plain") == ("reached", "")
    refused = ("TypeError: Failed to fetch", "LocalNetworkAccessPermissionDenied")
    assert await reach(rig, "https://claude.ai/plain") == refused
    name = await rig.tab()
    assert (await rig.answer(await rig.ask("through?", to=name)))["text"] == "You said: through?"


async def test_not_even_the_extensions_own_script_in_the_page_reaches_the_hub(rig: Rig) -> None:
    """Why only the worker talks to the hub."""
    name = await rig.tab()
    got = await rig.ui.evaluate(
        f"""async ([tab, url]) => {{
            const [{{result}}] = await chrome.scripting.executeScript({{target: {{tabId: tab}}, args: [url], func: {REACH}}});
            return result;
        }}""",
        [await rig.tab_id(name), f"{rig.world.url}/livez"],
    )
    assert got.startswith("TypeError"), got
