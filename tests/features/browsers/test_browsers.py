"""Pairing a browser, entering its tabs, what a tab reports. In-process and over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from hub.core.errors import Forbidden
from hub.features.browsers.contract import EnterTab, ListBrowsers, PairBrowser, ReportHealth
from hub.features.messages.contract import PostMessage
from hub.kernel.agents.contract import GetMe, RegisterAgent
from hub.kernel.rooms.contract import CreateRoom, JoinRoom
from hub.server.security import EXTENSION
from tests.support.hubs import TestHub

pytestmark = pytest.mark.anyio
MANIFEST = Path(__file__).parents[3] / "extension" / "manifest.json"
PAIRING_PAGE = Path(__file__).parents[3] / "hub" / "dashboard" / "static" / "browser.js"


async def test_a_paired_browser_enters_its_tabs_as_agents_of_the_person(surface_hub: TestHub) -> None:
    local = await surface_hub.local()
    await local.call(CreateRoom(room="build", open_to="owner"))
    paired = await local.call(PairBrowser())
    assert paired.token is not None
    person = await surface_hub.caller(paired.token)
    assert (await person.call(GetMe())).name == "local"
    await person.call(PostMessage(room="build", text="from the side panel"))
    entered = await person.call(EnterTab(identity="ab" * 16, name="browser-1"))
    again = await person.call(EnterTab(identity="ab" * 16, name="browser-1"))
    other = await person.call(EnterTab(identity="cd" * 16, name="browser-1"))
    assert (entered.agent, again.agent, other.agent) == ("browser-1", "browser-1", "browser-1-2")
    assert again.token is not None
    tab = await surface_hub.caller(again.token)
    me = await tab.call(GetMe())
    assert (me.kind, me.owner) == ("browser", "local")
    assert "browser:enter" not in me.scopes
    await tab.call(JoinRoom(room="build"))


async def test_a_pairing_token_administers_nothing(surface_hub: TestHub) -> None:
    local = await surface_hub.local()
    paired = await local.call(PairBrowser())
    assert paired.token is not None
    person = await surface_hub.caller(paired.token)
    with pytest.raises(Forbidden):
        await person.call(RegisterAgent(name="more"))
    with pytest.raises(Forbidden):
        await person.call(PairBrowser())


async def test_an_agent_without_the_scope_enters_no_tab(surface_hub: TestHub) -> None:
    ada = await surface_hub.agent("ada", "code")
    with pytest.raises(Forbidden):
        await ada.call(EnterTab(identity="ab" * 16, name="browser-1"))
    with pytest.raises(Forbidden):
        await ada.call(ReportHealth(version="1", selectors="2026-11-25"))


async def test_the_newest_report_of_a_tab_stands_in_the_list(surface_hub: TestHub) -> None:
    tab = await surface_hub.agent("browser-1", "browser")
    await tab.call(ReportHealth(version="1", selectors="2026-11-25", missing=("editor",)))
    await tab.call(ReportHealth(version="1", selectors="2026-11-25", found=("editor",), fallback=("editor",)))
    (found,) = (await (await surface_hub.local()).call(ListBrowsers())).items
    assert found.health is not None
    assert (found.agent, found.health.missing, found.health.fallback) == ("browser-1", (), ("editor",))
    stranger = await surface_hub.agent("eve", "human")
    assert (await stranger.call(ListBrowsers())).items == ()


def test_the_origin_the_hub_lets_in_is_the_extensions_own() -> None:
    key = base64.b64decode(json.loads(MANIFEST.read_text("utf-8"))["key"])
    letters = "".join(chr(ord("a") + int(digit, 16)) for digit in hashlib.sha256(key).hexdigest()[:32])
    assert f"chrome-extension://{letters}" == EXTENSION
    assert f'EXTENSION = "{letters}"' in PAIRING_PAGE.read_text("utf-8"), "the hub's page would not find it"


async def test_the_hub_lets_in_the_extensions_origin_with_a_token_and_no_other_extension(hub: TestHub) -> None:
    async with hub.client(hub.local_token) as client:
        answers = [
            (await client.http.get("/v1/agents/me", headers={"origin": origin})).status_code
            for origin in (EXTENSION, "chrome-extension://" + "a" * 32, "https://claude.ai")
        ]
    assert answers == [200, 403, 403]
    async with hub.client("") as nobody:
        assert (await nobody.http.get("/v1/agents/me", headers={"origin": EXTENSION})).status_code == 401
