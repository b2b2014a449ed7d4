"""Whatever happens to tab, worker, hub, page or person: exactly one answer or one clear error, never an old answer."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any

import pytest
from playwright.async_api import Error, Page

from tests.extension.conftest import ID, Rig
from tests.extension.site import Reply, say
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


def outcome(answer: dict[str, Any]) -> tuple[str, str | None]:
    job = answer["metadata"]["job"]
    return job["outcome"], job["error"]


async def held(rig: Rig, first: str = "The first half") -> asyncio.Event:
    """From now on the site says the first half, waits for the event, and says the rest."""
    event = asyncio.Event()
    rig.site.answer = lambda prompt: Reply([f"{first} to {prompt}", event, ", and the rest."])
    return event


async def asked(rig: Rig, name: str, text: str = "q") -> str:
    """A question that reached the site and is being answered."""
    question = await rig.ask(text, to=name)
    await eventually(lambda: text in rig.site.prompts, within_s=20, what="the prompt reached the site")
    await rig.pages[name].wait_for_function("() => document.body.innerText.includes('half')")
    return question


async def waits_for_a_person(rig: Rig, question: str) -> bool:
    return str((await rig.job(question))["pending"]).startswith("waiting for a person")


# --- how many at a time -------------------------------------------------------------------------------------------


async def test_two_tabs_work_in_parallel(rig: Rig) -> None:
    first, second = await rig.tab(), await rig.tab()
    event = await held(rig)
    one, two = await rig.ask("one"), await rig.ask("two")
    await eventually(lambda: len(rig.site.prompts) == 2, within_s=20, what="both prompts are being answered at once")
    event.set()
    answers = [await rig.answer(one), await rig.answer(two)]
    assert [a["text"] for a in answers] == [f"The first half to {t}, and the rest." for t in ("one", "two")]
    assert {a["from"] for a in answers} == {first, second}


async def test_two_prompts_for_one_tab_wait_in_line(rig: Rig) -> None:
    name = await rig.tab()
    event = await held(rig)
    one, two = await rig.ask("one", to=name), await rig.ask("two", to=name)
    await eventually(lambda: rig.site.prompts == ["one"], within_s=20, what="the first is being answered")
    assert (await rig.job(two))["state"] == "queued"
    event.set()
    assert (await rig.answer(one))["text"] == "The first half to one, and the rest."
    assert (await rig.answer(two))["text"] == "The first half to two, and the rest."


async def test_the_same_question_again_gets_its_own_answer_and_not_the_old_one(rig: Rig) -> None:
    name = await rig.tab()
    count = 0

    def numbered(prompt: str) -> Reply:
        nonlocal count
        count += 1
        return say(f"answer number {count}")

    rig.site.answer = numbered
    texts = [(await rig.answer(await rig.ask("again?", to=name)))["text"] for _ in range(6)]
    assert texts == [f"answer number {n}" for n in range(1, 7)]


# --- slow ----------------------------------------------------------------------------------------------


async def test_a_silent_pause_of_three_seconds_does_not_end_an_answer(rig: Rig) -> None:
    name = await rig.tab()
    rig.site.answer = lambda prompt: Reply(["Let me think.", 3.0, " Done? No.", 1.0, " Now."])
    answer = await rig.answer(await rig.ask("think", to=name))
    assert answer["text"] == "Let me think. Done? No. Now."


async def test_who_asked_sees_the_answer_grow(rig: Rig) -> None:
    name = await rig.tab()
    event = await held(rig)
    question = await asked(rig, name)

    async def partial() -> bool:
        return bool((await rig.job(question, name))["partial"] == "The first half to q")

    await eventually(partial, what="the first half is told")
    event.set()
    await rig.answer(question)


# --- navigation ---------------------------------------------------------------------------------------------------


async def test_leaving_the_conversation_in_mid_answer_is_unknown_and_the_next_question_goes_on(rig: Rig) -> None:
    name = await rig.tab()
    event = await held(rig)
    question = await asked(rig, name)
    await rig.pages[name].evaluate("goTo('/new')")
    assert outcome(await rig.answer(question)) == ("unknown", "navigated-away")
    event.set()
    assert (await rig.answer(await rig.ask("next", to=name)))["text"] == "The first half to next, and the rest."


async def test_a_reload_in_mid_answer_never_sends_again_and_never_claims_to_be_complete(rig: Rig) -> None:
    name = await rig.tab()
    await held(rig)
    question = await asked(rig, name)
    await rig.pages[name].reload()
    answer = await rig.answer(question)
    assert outcome(answer) == ("unknown", "page-reloaded")
    assert "may be incomplete" in answer["text"]
    assert answer["text"].endswith("The first half to q")
    assert rig.site.prompts == ["q"]


async def test_going_elsewhere_in_mid_answer_ends_the_tabs_part(rig: Rig) -> None:
    name = await rig.tab()
    await held(rig)
    question, queued = await asked(rig, name), await rig.ask("queued", to=name)
    await rig.pages[name].goto(rig.world.url)
    assert outcome(await rig.answer(question)) == ("unknown", "tab-left")
    assert outcome(await rig.answer(queued)) == ("failed", "tab-left")
    assert rig.site.prompts == ["q"]


async def test_closing_the_tab_answers_everybody_who_waits(rig: Rig) -> None:
    name = await rig.tab()
    await held(rig)
    question, queued = await asked(rig, name), await rig.ask("queued", to=name)
    await rig.pages[name].close()
    assert outcome(await rig.answer(question)) == ("unknown", "tab-closed")
    assert outcome(await rig.answer(queued)) == ("failed", "tab-closed")


# --- the site says no ---------------------------------------------------------------------------------------------


async def test_a_reached_limit_is_said_as_such(rig: Rig) -> None:
    name = await rig.tab()
    rig.site.answer = lambda prompt: Reply([], status=429)
    answer = await rig.answer(await rig.ask("one more", to=name))
    assert outcome(answer) == ("failed", "limit-reached")
    assert rig.site.prompts == ["one more"]


async def test_stopping_ends_with_what_there_was(rig: Rig) -> None:
    name = await rig.tab()
    await held(rig)
    question = await asked(rig, name)
    await rig.request(type="stop", tab=await rig.tab_id(name))
    answer = await rig.answer(question)
    assert outcome(answer) == ("failed", "stopped")
    assert "The first half to q" in answer["text"]


async def test_a_person_who_presses_the_pages_stop_ends_it_too(rig: Rig) -> None:
    name = await rig.tab()
    await held(rig)
    question = await asked(rig, name)
    await rig.pages[name].click("button[aria-label='Stop response']")
    assert outcome(await rig.answer(question)) == ("failed", "stopped")


@pytest.mark.parametrize(("path", "code"), [("/login", "not-logged-in"), ("/changed", "page-changed")])
async def test_a_page_that_cannot_take_a_prompt_says_why(rig: Rig, path: str, code: str) -> None:
    name = await rig.tab(path=path)
    answer = await rig.answer(await rig.ask("anyone?", to=name))
    assert outcome(answer) == ("failed", code)

    async def reported() -> bool:
        async with rig.world.client() as local:
            tabs = (await local.get("/v1/browsers")).json()["items"]
        health = next(t["health"] for t in tabs if t["agent"] == name)
        return bool(health and health["problem"] == code)

    await eventually(reported, what="doctor can show it")


async def test_a_box_that_changes_the_prompt_gets_it_never_sent(rig: Rig) -> None:
    name = await rig.tab(path="/new?mangle")
    answer = await rig.answer(await rig.ask("keep **this**", to=name))
    assert outcome(answer) == ("failed", "insert-failed")
    assert rig.site.prompts == []


# --- the person ---------------------------------------------------------------------------------------------------


async def test_what_a_person_sends_instead_is_never_passed_on(rig: Rig) -> None:
    name = await rig.tab(mode="assist")
    page = rig.pages[name]
    question = await rig.ask("from the room", to=name)
    await eventually(lambda: waits_for_a_person(rig, question), within_s=20)
    await page.fill("[data-testid=chat-input]", "my own private matter")
    await page.click("button[aria-label='Send message']")
    answer = await rig.answer(question)
    assert outcome(answer) == ("failed", "person-took-over")
    assert "private" not in answer["text"]


async def test_a_persons_draft_is_left_alone_until_the_box_is_empty(rig: Rig) -> None:
    name = await rig.tab()
    page = rig.pages[name]
    await page.fill("[data-testid=chat-input]", "half a thought")
    question = await rig.ask("later", to=name)
    await eventually(lambda: waits_for_a_person(rig, question), within_s=20)
    assert await page.locator("[data-testid=chat-input]").inner_text() == "half a thought"
    await rub_out(page)
    assert (await rig.answer(question))["text"] == "You said: later"
    assert rig.site.prompts == ["later"]


async def rub_out(page: Page) -> None:
    """Empty the box as a person does. `fill("")` presses Delete before the editor has read what is selected: it deletes
    nothing then, every second time on a busy machine."""
    box = page.locator("[data-testid=chat-input]")

    async def empty() -> bool:
        await box.press("ControlOrMeta+a")
        await box.press("Backspace")
        return (await box.inner_text()).strip() == ""

    await eventually(empty, what="the box is empty")


async def test_a_person_can_decline(rig: Rig) -> None:
    name = await rig.tab(mode="assist")
    page = rig.pages[name]
    question = await rig.ask("please?", to=name)
    await eventually(lambda: waits_for_a_person(rig, question), within_s=20)
    await click_in_strip(page, "Decline")
    assert outcome(await rig.answer(question)) == ("failed", "declined")
    assert await page.locator("[data-testid=chat-input]").inner_text() in ("", "\n")


async def test_a_question_taken_back_leaves_the_box(rig: Rig) -> None:
    name = await rig.tab(mode="assist")
    page = rig.pages[name]
    question = await rig.ask("never mind", to=name)
    await eventually(lambda: waits_for_a_person(rig, question), within_s=20)
    await rig.http.request("DELETE", f"/v1/rooms/build/messages/{question}")

    async def empty() -> bool:
        return (await page.locator("[data-testid=chat-input]").inner_text()).strip() == ""

    await eventually(empty, within_s=30, what="the prompt is taken out of the box")
    assert await rig.answers(question) == []


async def click_in_strip(page: Page, label: str) -> None:
    """The strip is closed to page scripts; the pointer reaches it as a person's does."""
    session = await page.context.new_cdp_session(page)
    document = await session.send("DOM.getDocument", {"depth": -1, "pierce": True})
    waiting, found = [document["root"]], None
    while waiting and found is None:
        node = waiting.pop()
        below = [*node.get("children", []), *node.get("shadowRoots", [])]
        if node["nodeName"] == "BUTTON" and any(c.get("nodeValue") == label for c in below):
            found = node["nodeId"]
        waiting += below
    assert found is not None, f"no button {label!r} in the strip"
    box = (await session.send("DOM.getBoxModel", {"nodeId": found}))["model"]["content"]
    await page.mouse.click((box[0] + box[2]) / 2, (box[1] + box[5]) / 2)


# --- things that die ----------------------------------------------------------------------------------------------


async def kill_worker(rig: Rig) -> None:
    """End the service worker as Chrome does, and see a new one come."""
    await rig.ui.goto(f"chrome-extension://{ID}/ui/pair.html")
    session = await rig.context.new_cdp_session(rig.ui)
    await session.send("ServiceWorker.enable")
    await session.send("ServiceWorker.stopAllWorkers")
    await session.detach()


@pytest.mark.parametrize("mode", ["auto", "assist"])
async def test_a_worker_killed_in_mid_job_goes_on_where_it_was(rig: Rig, mode: str) -> None:
    name = await rig.tab(mode=mode)
    event = await held(rig)
    question = await rig.ask("q", to=name)
    if mode == "assist":
        await eventually(lambda: waits_for_a_person(rig, question), within_s=20)
        await kill_worker(rig)
        await rig.pages[name].click("button[aria-label='Send message']")
    await rig.pages[name].wait_for_function("() => document.body.innerText.includes('half')")
    await kill_worker(rig)
    event.set()
    answer = await rig.answer(question)
    assert (answer["text"], outcome(answer)) == ("The first half to q, and the rest.", ("answered", None))
    assert rig.site.prompts == ["q"]
    if mode == "auto":
        assert (await rig.answer(await rig.ask("next", to=name)))["text"] == "The first half to next, and the rest."


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_hub_restarted_in_mid_job_gets_the_answer(rig: Rig, how: signal.Signals) -> None:
    name = await rig.tab()
    event = await held(rig)
    question = await asked(rig, name)
    await asyncio.to_thread(rig.world.end, how)
    event.set()
    await rig.pages[name].wait_for_function("() => document.body.innerText.includes('and the rest')")
    await asyncio.to_thread(rig.world.start)
    answer = await rig.answer(question)
    assert (answer["text"], outcome(answer)) == ("The first half to q, and the rest.", ("answered", None))
    assert rig.site.prompts == ["q"]


async def update(rig: Rig) -> None:
    """A new version of the extension takes over.

    The reload ends every process that shows a page of the extension, one just opened included: such a page has crashed
    for good, and another is opened in its place.
    """
    version, old = rig.raise_version(), rig.worker
    with contextlib.suppress(Error):  # it may be gone before it has answered
        await old.evaluate("() => { setTimeout(() => chrome.runtime.reload(), 20) }")

    async def back() -> bool:
        try:
            await rig.ui.goto(f"chrome-extension://{ID}/ui/pair.html")
            view = await rig.view()  # for a moment it may still be the old one that answers
            return view["version"] == version and any(tab["online"] for tab in view["tabs"])
        except (Error, RuntimeError):
            with contextlib.suppress(Error):
                await rig.ui.close()
            rig.ui = await rig.context.new_page()
            return False

    rig.ui = await rig.context.new_page()
    await eventually(back, within_s=60, what="the new version has the tab again")


async def test_an_extension_updated_in_mid_job_gets_the_answer(rig: Rig) -> None:
    name = await rig.tab()
    event = await held(rig)
    question = await asked(rig, name)
    await update(rig)
    event.set()
    answer = await rig.answer(question)
    assert (answer["text"], outcome(answer)) == ("The first half to q, and the rest.", ("answered", None))
    assert rig.site.prompts == ["q"]
