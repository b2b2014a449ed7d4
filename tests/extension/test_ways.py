"""Ways in and ways on: MCP's ask, new or current conversation, a page that moved its parts."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from mcp_bridge.commands.doctor import _tabs
from mcp_bridge.doctor.check import Check
from tests.extension.conftest import EXTENSION, PATIENCE, Rig
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.browser]
DATE = json.loads((EXTENSION / "selectors.json").read_text("utf-8"))["date"]
AS_EXPECTED = f"as expected (selectors of {DATE}"


async def test_one_call_of_the_ask_tool_puts_a_question_to_any_tab_and_brings_its_answer(rig: Rig) -> None:
    name = await rig.tab()
    headers = {"authorization": f"Bearer {rig.ada}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(60)) as http,
        Client(streamable_http_client(f"{rig.world.url}/mcp", http_client=http)) as client,
    ):
        for to in ("@browser", name):
            args = {"text": f"Search the web for {to}.", "to": to, "room": "build", "wait_s": 40}
            said = (await client.call_tool("ask", args)).structured_content or {}
            assert said["answered"], said
            (answer,) = said["answers"]
            assert (answer["from"], answer["text"]) == (name, f"You said: Search the web for {to}.")


async def test_a_question_goes_on_in_the_conversation_or_begins_one(rig: Rig) -> None:
    name = await rig.tab()
    tab = await rig.tab_id(name)
    paths = []
    for wanted in ("", "current", "new", ""):
        metadata = {"browser": {"conversation": wanted}} if wanted else {}
        await rig.answer(await rig.ask(f"{wanted}?", to=name, metadata=metadata))
        paths.append(rig.pages[name].url)
    await rig.request(type="tab", tab=tab, change={"fresh": True})
    await rig.answer(await rig.ask("fresh", to=name))
    paths.append(rig.pages[name].url)
    first, second, third = paths[0], paths[2], paths[4]
    assert paths == [first, first, second, second, third]
    assert len({first, second, third}) == 3


async def test_a_moved_part_is_found_by_a_spare_selector_and_doctor_names_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await rig.tab(path="/new?renamed")
    assert (await rig.answer(await rig.ask("still there?", to=name)))["text"] == "You said: still there?"

    async def reported() -> dict[str, Any] | None:
        (tab,) = [t for t in (await rig.view())["tabs"] if t["agent"] == name]
        return dict(tab["health"]) if tab["health"] else None

    health = await eventually(reported, what="the page was looked at")
    assert (health["fallback"], health["missing"], health["problem"]) == (["send"], [], "")
    found = await doctor(rig, monkeypatch)
    assert (found.fine, found.found) == (True, f"{name}: {AS_EXPECTED}, by a spare selector: send)")


async def test_own_selectors_find_what_the_list_does_not(rig: Rig) -> None:
    name = await rig.tab(path="/new?moved")
    failed = await rig.answer(await rig.ask("one", to=name))
    assert failed["metadata"]["job"]["error"] == "page-changed"
    options = {"autoPerHour": 600, "timings": PATIENCE}
    await rig.request(type="options", options={**options, "selectors": json.dumps({"send": ["#act"]})})
    try:
        await rig.pages[name].reload()
        assert (await rig.answer(await rig.ask("two", to=name)))["text"] == "You said: two"
    finally:
        await rig.request(type="options", options={**options, "selectors": ""})


async def test_doctor_says_which_part_of_the_page_a_tab_does_not_find(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await rig.tab(path="/changed")

    async def seen() -> Check | None:
        found = await doctor(rig, monkeypatch)
        return None if found.fine else found

    found = await eventually(seen, within_s=20, what="the report is there")
    assert found.found.startswith(f"{name}: page-changed; not found: editor (selectors of ")
    assert "options" in found.fix


async def doctor(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Doctor's part about tabs alone: the whole of it starts every client that is installed on the machine."""
    monkeypatch.setenv("BRIDGE_URL", rig.world.url)
    monkeypatch.setenv("BRIDGE_TOKEN", rig.world.token)
    return await _tabs()
