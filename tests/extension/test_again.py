"""Another answer, and stopping one, from the room and from the popup."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect

from tests.extension.conftest import ID, Rig
from tests.extension.site import Reply, say
from tests.extension.test_trouble import asked, held, outcome, waits_for_a_person
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


def numbered(rig: Rig) -> None:
    """From now on every answer says which one it is."""
    count = iter(range(1, 100))
    rig.site.answer = lambda prompt: say(f"answer {next(count)} to {prompt}")


async def again(rig: Rig, question: str, name: str) -> str:
    return await rig.ask("another one", to=name, metadata={"browser": {"regenerate": question}})


async def test_a_question_may_ask_for_another_answer_to_the_one_before(rig: Rig) -> None:
    name = await rig.tab()
    numbered(rig)
    first = await rig.ask("why?", to=name)
    assert (await rig.answer(first))["text"] == "answer 1 to why?"
    second = await again(rig, first, name)
    assert (await rig.answer(second))["text"] == "answer 2 to why?"
    third = await again(rig, second, name)
    assert (await rig.answer(third))["text"] == "answer 3 to why?"
    assert (rig.site.prompts, rig.site.retried) == (["why?"], ["why?", "why?"])
    assert len(await rig.answers(first)) == 1


async def test_only_the_newest_question_of_a_tab_can_be_answered_again(rig: Rig) -> None:
    name = await rig.tab()
    first = await rig.ask("one", to=name)
    await rig.answer(first)
    await rig.answer(await rig.ask("two", to=name))
    assert outcome(await rig.answer(await again(rig, first, name))) == ("failed", "nothing-to-regenerate")
    await rig.pages[name].evaluate("goTo('/new')")
    last = await rig.ask("three", to=name)
    await rig.answer(last)
    await rig.pages[name].evaluate("goTo('/new')")
    assert outcome(await rig.answer(await again(rig, last, name))) == ("failed", "nothing-to-regenerate")
    assert rig.site.retried == []


async def test_where_a_person_sends_a_person_presses_retry_too(rig: Rig) -> None:
    name = await rig.tab(mode="assist")
    numbered(rig)
    page = rig.pages[name]
    first = await rig.ask("why?", to=name)
    await eventually(lambda: waits_for_a_person(rig, first), within_s=20)
    await page.click("button[aria-label='Send message']")
    await rig.answer(first)
    second = await again(rig, first, name)
    await eventually(lambda: waits_for_a_person(rig, second), within_s=20)
    await rig.answer(await rig.ask("elsewhere", to=await rig.tab()))  # in that time it could have pressed it
    assert rig.site.retried == []
    await page.click("button[aria-label='Retry']")
    assert (await rig.answer(second))["text"] == "answer 3 to why?"
    assert rig.site.retried == ["why?"]


async def test_the_popup_asks_for_another_answer_in_the_room(rig: Rig) -> None:
    name = await rig.tab()
    numbered(rig)
    first = await rig.ask("why?", to=name)
    await rig.answer(first)
    popup = await rig.context.new_page()
    await popup.goto(f"chrome-extension://{ID}/ui/popup.html?tab={await rig.tab_id(name)}")
    await popup.get_by_role("button", name="Another answer").click()

    async def posted() -> dict[str, Any] | None:
        messages = (await rig.http.get("/v1/rooms/build/messages")).json()["items"]
        return next((m for m in messages if m["kind"] == "question" and m["reply_to"] == first), None)

    question = await eventually(posted, what="the room sees who asked for it")
    assert (question["from"], question["to"]) == ("local", [name])
    assert (await rig.answer(question["id"]))["text"] == "answer 2 to why?"
    await expect(popup.locator("#here")).to_contain_text("Last: local, answered")


async def test_another_answer_that_meets_the_limit_says_so(rig: Rig) -> None:
    name = await rig.tab()
    first = await rig.ask("why?", to=name)
    await rig.answer(first)
    rig.site.answer = lambda prompt: Reply([], status=429)
    assert outcome(await rig.answer(await again(rig, first, name))) == ("failed", "limit-reached")


async def test_whoever_asked_stops_the_answer_with_a_message(rig: Rig) -> None:
    name = await rig.tab()
    await held(rig)
    question = await asked(rig, name)
    stop = {"text": "enough", "reply_to": question, "metadata": {"browser": {"stop": True}}}
    async with rig.world.client() as local:
        made = (await local.post("/v1/agents", json={"name": "eve", "kind": "code"})).json()
        headers = {"authorization": f"Bearer {made['token']}"}
        await local.post("/v1/rooms/build/join", json={}, headers=headers)
        assert (await local.post("/v1/rooms/build/messages", json=stop, headers=headers)).status_code == 201
    await rig.answer(await rig.ask("elsewhere", to=await other(rig)))
    assert (await rig.job(question, name))["state"] == "submitted"  # eve did not ask it
    assert (await rig.http.post("/v1/rooms/build/messages", json=stop)).status_code == 201
    await eventually(lambda: failed(rig, question, name), within_s=20, what="the answer is stopped")
    (answer,) = [a for a in await rig.answers(question) if a["from"] == name]
    assert outcome(answer) == ("failed", "stopped")
    assert "The first half to q" in answer["text"]


async def failed(rig: Rig, question: str, name: str) -> bool:
    return bool((await rig.job(question, name))["state"] == "failed")


async def other(rig: Rig) -> str:
    rig.site.answer = lambda prompt: say("there")
    return await rig.tab()


async def test_a_question_taken_back_in_mid_answer_stops_claude(rig: Rig) -> None:
    name = await rig.tab()
    await held(rig)
    question = await asked(rig, name)
    await rig.http.request("DELETE", f"/v1/rooms/build/messages/{question}")
    await expect(rig.pages[name].locator("button[aria-label='Send message']")).to_be_visible(timeout=20_000)
    rig.site.answer = lambda prompt: say("next answer")
    assert (await rig.answer(await rig.ask("next", to=name)))["text"] == "next answer"
