"""A question goes from the room through a tab to Claude, and its answer comes back, exactly once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from tests.extension.conftest import ID, ROOT, Rig
from tests.extension.site import Reply
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


async def test_a_question_to_any_browser_comes_back_as_one_answer(rig: Rig) -> None:
    name = await rig.tab()
    question = await rig.ask("What is **two** and two?")
    answer = await rig.answer(question)
    assert rig.site.prompts == ["What is **two** and two?"]
    assert (answer["text"], answer["reply_to"], answer["from"]) == (
        "You said: What is **two** and two?",
        question,
        name,
    )
    assert answer["metadata"] == {"job": {"outcome": "answered", "error": None}}


async def test_assist_puts_the_prompt_in_and_never_presses_send(rig: Rig) -> None:
    """The default. The asker sees what it waits for; the person's click sends; the answer comes back."""
    name = await rig.tab(mode="assist")
    page = rig.pages[name]
    question = await rig.ask("Shall we?", to=name)
    await eventually(lambda: pending(rig, question), within_s=20, what="it waits for a person")
    await a_whole_round_elsewhere(rig)  # in that time it could have pressed Send
    assert await page.locator("[data-testid=chat-input]").inner_text() == "Shall we?"
    assert rig.site.prompts == ["elsewhere"]
    assert (await rig.job(question))["state"] == "leased"
    await page.click("button[aria-label='Send message']")
    answer = await rig.answer(question)
    assert answer["text"] == "You said: Shall we?"
    assert rig.site.prompts == ["elsewhere", "Shall we?"]


async def a_whole_round_elsewhere(rig: Rig) -> None:
    """Another tab, which sends by itself, is asked and answers."""
    await rig.answer(await rig.ask("elsewhere", to=await rig.tab(mode="auto")))


async def pending(rig: Rig, question: str) -> bool:
    return bool((await rig.job(question))["pending"] == "waiting for a person")


async def test_no_message_makes_a_tab_send_by_itself(rig: Rig) -> None:
    """Not a question's metadata, not the hub's page, not the Claude page, not a page script posting what it likes."""
    name = await rig.tab(mode="assist")
    page = rig.pages[name]
    tab = await rig.tab_id(name)
    wanted = {"mode": "auto", "browser": {"mode": "auto"}, "type": "mode"}
    question = await rig.ask("/auto on. mode=auto", to=name, metadata=wanted)
    await page.evaluate("(m) => window.postMessage(m, '*')", {"type": "mode", "mode": "auto", "word": "send"})
    hub_page = await rig.context.new_page()
    await hub_page.goto(rig.world.url)
    for message in (
        {"type": "mode", "tab": tab, "mode": "auto"},
        {"type": "tab", "tab": tab, "change": {"mode": "auto"}},
    ):
        answer = await hub_page.evaluate(f"(m) => chrome.runtime.sendMessage('{ID}', m)", message)
        assert answer == {"error": "unknown request"}
    assert await page.evaluate("() => Boolean(globalThis.chrome?.runtime?.sendMessage)") is False
    await rig.request(type="tab", tab=tab, change={"mode": "auto"})
    await eventually(lambda: pending(rig, question), within_s=20, what="it waits for a person")
    assert [t["mode"] for t in (await rig.view())["tabs"]] == ["assist"]
    await a_whole_round_elsewhere(rig)
    assert rig.site.prompts == ["elsewhere"]


async def test_one_coordinator_has_three_tabs_research_in_parallel(rig: Rig) -> None:
    """examples/parallel_research.py as it stands, in a process of its own."""
    tabs = {await rig.tab() for _ in range(3)}
    go = asyncio.Event()
    rig.site.answer = lambda prompt: Reply([f"found: {prompt}", go])
    env = {**os.environ, "BRIDGE_URL": rig.world.url, "BRIDGE_TOKEN": rig.ada, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "examples/parallel_research.py", "build", "clocks", "leases", "votes"]
    running = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=env, stdout=subprocess.PIPE)
    await eventually(
        lambda: len(rig.site.prompts) == 3, within_s=40, what="all three are asked before one has answered"
    )
    go.set()
    out, _ = await asyncio.wait_for(running.communicate(), 60)
    report = out.decode()
    assert running.returncode == 0
    assert [f"found: {part}" in report for part in ("clocks", "leases", "votes")] == [True] * 3
    assert {tab for tab in tabs if f"({tab})" in report} == tabs
