"""Prompts in a row while things die at random: none lost, none doubled, none answered with another's answer."""

from __future__ import annotations

import asyncio
import random
import re
import signal
from dataclasses import dataclass

import pytest

from tests.extension.conftest import ID, Rig
from tests.extension.site import Reply
from tests.extension.test_trouble import kill_worker, outcome, update
from tests.extension.wire import heap_mb, wire_to
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.browser]
FAULTS = ("none", "none", "none", "worker", "hub", "update", "reload", "stop", "limit", "pause", "leave conversation")
UNKNOWN = {"navigated-away", "page-reloaded", "no-trace"}


class Row:
    """Asks one question after the other with a fault in each, and keeps what must hold."""

    def __init__(self, rig: Rig, name: str, seed: int) -> None:
        self.rig, self.name = rig, name
        self.dice = random.Random(seed)
        self.asked: dict[str, str] = {}
        self.faults: list[str] = []

    async def run(self, count: int) -> None:
        begun = len(self.faults)
        for number in range(begun, begun + count):
            await self.one(number, self.dice.choice(FAULTS))

    async def calm(self, count: int) -> None:
        for number in range(len(self.faults), len(self.faults) + count):
            await self.one(number, "none")

    async def one(self, number: int, fault: str) -> None:
        text, go = f"question number {number}.", asyncio.Event()
        self.faults.append(fault)
        pause: list[str | float | asyncio.Event] = [0.8] if fault == "pause" else [go]
        status = 429 if fault == "limit" else 200
        self.rig.site.answer = lambda prompt: Reply([f"to {prompt} ", *pause, "the end"], status=status)
        question = await self.rig.ask(text, to=self.name)
        self.asked[question] = text
        await eventually(
            lambda: text in self.rig.site.prompts, within_s=30, what=f"{text} is sent ({self.faults[-3:]})"
        )
        await self.strike(fault)
        go.set()
        answer = await self.rig.answer(question, within_s=120)
        self.check(answer["text"], outcome(answer), fault, text)
        if fault == "leave conversation":
            await self.rig.pages[self.name].goto("https://claude.ai/new")

    def check(self, text: str, found: tuple[str, str | None], fault: str, asked: str) -> None:
        """The right answer, or the error that the fault makes; never another question's answer."""
        assert set(re.findall(r"question number \d+\.", text)) <= {asked}, (fault, text)
        if found == ("answered", None):
            assert fault not in ("limit", "stop", "leave conversation"), (self.faults[-3:], text)
            assert text == f"to {asked} the end"
        else:
            wanted = {"limit": {"limit-reached"}, "stop": {"stopped"}}.get(fault, UNKNOWN)
            assert found[1] in wanted, (fault, found, text)
            assert fault in ("limit", "stop", "reload", "leave conversation"), (fault, found)

    async def strike(self, fault: str) -> None:
        rig, page = self.rig, self.rig.pages[self.name]
        match fault:
            case "worker":
                await kill_worker(rig)
            case "hub":
                await asyncio.to_thread(rig.world.end, signal.SIGKILL)
                await asyncio.to_thread(rig.world.start)
            case "update":
                await update(rig)
            case "reload":
                await page.reload()
            case "stop":
                await page.click("button[aria-label='Stop response']")
            case "leave conversation":
                await page.evaluate("() => goTo('/new')")

    async def settle(self) -> None:
        """Nothing came twice, nothing was sent twice, nothing came late."""
        for question, text in self.asked.items():
            assert len(await self.rig.answers(question)) == 1, text
        assert self.rig.site.prompts == list(self.asked.values())


async def kept_chars(rig: Rig) -> int:
    """Size of what the extension wrote down."""
    return int(await rig.ui.evaluate("async () => JSON.stringify(await chrome.storage.local.get()).length"))


@dataclass(frozen=True)
class Held:
    """What a tab's page, the worker and its store hold."""

    page_mb: float
    worker_mb: float
    kept: int

    @classmethod
    async def now(cls, row: Row) -> Held:
        async with wire_to(row.rig.profile) as wire:
            page = await heap_mb(wire, "page", "https://claude.ai/")
            worker = await heap_mb(wire, "service_worker", f"chrome-extension://{ID}/")
        return cls(page, worker, await kept_chars(row.rig))

    def must_be_flat_since(self, before: Held) -> None:
        grown = (self.page_mb - before.page_mb, self.worker_mb - before.worker_mb, self.kept - before.kept)
        print(
            f"page {before.page_mb:.2f} -> {self.page_mb:.2f} MiB, worker {before.worker_mb:.2f} -> {self.worker_mb:.2f} MiB,"
            f" store {before.kept} -> {self.kept} characters"
        )
        assert grown[0] < 4, f"the page grew by {grown[0]:.1f} MiB"
        assert grown[1] < 1, f"the worker grew by {grown[1]:.2f} MiB"
        assert grown[2] < 20_000, f"the store grew by {grown[2]} characters"


@pytest.mark.timeout(600)  # half a minute alone, several on a machine with a load of 20
async def test_twenty_prompts_in_a_row_with_random_faults(rig: Rig) -> None:
    row = Row(rig, await rig.tab(), seed=4)
    await row.run(4)
    before = await Held.now(row)
    await row.run(16)
    await row.settle()
    (await Held.now(row)).must_be_flat_since(before)
    assert len(set(row.faults)) >= 6, row.faults


@pytest.mark.faults
@pytest.mark.timeout(3600)
async def test_two_hundred_prompts_in_a_row_with_random_faults_leave_memory_flat(rig: Rig) -> None:
    row = Row(rig, await rig.tab(), seed=11)
    await row.run(40)
    before = await Held.now(row)
    await row.run(160)
    await row.settle()
    (await Held.now(row)).must_be_flat_since(before)


@pytest.mark.faults
@pytest.mark.timeout(1800)
async def test_two_hundred_prompts_to_one_life_of_the_worker_leave_its_memory_flat(rig: Rig) -> None:
    """Without faults, so that one worker and one page live through all of it."""
    row = Row(rig, await rig.tab(), seed=1)
    await row.calm(40)
    await rig.worker.evaluate("() => { globalThis.alive = true }")
    before = await Held.now(row)
    await row.calm(160)
    await row.settle()
    (await Held.now(row)).must_be_flat_since(before)
    assert await rig.worker.evaluate("() => globalThis.alive"), "it was another worker"
