"""Tabs in the background: never shown, without the focus, their timers slowed down to one a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.extension.conftest import Desk
from tests.extension.plain import plain_desk
from tests.extension.site import Reply, say
from tests.extension.test_exact import NASTY
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

LOOK = """async (tab) => {
    const [{result}] = await chrome.scripting.executeScript({target: {tabId: tab}, func: async () => {
        const began = performance.now();
        for (let i = 0; i < 3; i++) await new Promise((go) => setTimeout(go, 10));
        return {visible: document.visibilityState, focused: document.hasFocus(), slow: performance.now() - began > 1000};
    }});
    return result;
}"""
BEHIND = {"visible": "hidden", "focused": False, "slow": True}


@pytest.fixture(scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Desk]:
    async with plain_desk(tmp_path_factory.mktemp("hidden")) as desk:
        yield desk


async def behind(desk: Desk) -> tuple[int, str]:
    """A tab that was never shown, in the room, sending by itself; and its agent."""
    opened = "() => chrome.tabs.create({url: 'https://claude.ai/new', active: false})"
    tab = int((await desk.ui.evaluate(opened))["id"])

    async def loaded() -> bool:
        return bool(await desk.ui.evaluate("async (id) => (await chrome.tabs.get(id)).status === 'complete'", tab))

    await eventually(loaded, within_s=20, what="the page is there")
    return tab, await desk.join(tab)


async def test_a_hidden_tab_takes_prompts_exactly_and_gives_whole_answers(desk: Desk) -> None:
    tab, name = await behind(desk)
    assert await look(desk, tab) == BEHIND
    texts = [NASTY["markdown marks"], NASTY["empty lines and spaces"], "Explain `this`"]
    desk.site.answer = lambda prompt: say(f"{len(prompt)} letters:\n\n```python\nx = 1\n```")
    answers = [(await desk.answer(await desk.ask(text, to=name)))["text"] for text in texts]
    assert desk.site.prompts == texts
    assert answers == [f"{len(text)} letters:\n\n```python\nx = 1\n```" for text in texts]
    assert await look(desk, tab) == BEHIND


async def test_two_hidden_tabs_answer_at_once_and_wait_out_a_silent_pause(desk: Desk) -> None:
    both = [(await behind(desk))[1] for _ in range(2)]
    go = asyncio.Event()
    desk.site.prompts.clear()
    desk.site.answer = lambda prompt: Reply([f"{prompt}: first.", go, 3.0, " Last."])
    questions = [await desk.ask(f"to {name}", to=name) for name in both]
    await eventually(lambda: len(desk.site.prompts) == 2, within_s=20, what="both are being answered")
    go.set()
    answers = [(await desk.answer(question))["text"] for question in questions]
    assert answers == [f"to {name}: first. Last." for name in both]


async def look(desk: Desk, tab: int) -> Any:
    """What the browser says about a tab, and whether its timers are slow."""
    return await desk.ui.evaluate(LOOK, tab)
