"""Asking the person in several places at once."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator

import pytest

from desktop_agent.asking import Ask, Terminal, answer_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio
ASK = Ask("alice in plan", "2+2?", "Send it?")


class Place:
    """A place where the person answers when the test says so."""

    def __init__(self, answer: bool | None = None) -> None:
        self.answer = answer
        self.go = asyncio.Event()
        self.cancelled = False

    async def ask(self, ask: Ask) -> bool | None:
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return self.answer


class Typed:
    """A terminal whose keyboard is the test."""

    def __init__(self) -> None:
        self.keys: queue.Queue[bytes] = queue.Queue()
        self.shown: list[str] = []
        self.terminal = Terminal(self.shown.append, self.keys.get)
        self.terminal.start()


@pytest.fixture
async def typed() -> AsyncIterator[Typed]:
    made = Typed()
    yield made
    made.keys.put(b"")


@pytest.mark.parametrize("answer", [True, False])
async def test_the_first_answer_counts_and_the_other_place_stops_asking(answer: bool) -> None:
    here, there = Place(answer), Place(not answer)
    here.go.set()
    assert await answer_of([there, here], ASK) is answer
    assert there.cancelled


async def test_a_place_where_nobody_is_does_not_answer_for_the_other() -> None:
    nobody, person = Place(None), Place(True)
    nobody.go.set()
    waiting = asyncio.create_task(answer_of([nobody, person], ASK))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    person.go.set()
    assert await waiting is True
    assert await answer_of([nobody], ASK) is None
    assert await answer_of([], ASK) is None


@pytest.mark.parametrize(("said", "answer"), [(b"y\n", True), (b"YES\r\n", True), (b"\n", False), (b"n\n", False)])
async def test_the_terminal_shows_who_asks_what_and_takes_the_answer(typed: Typed, said: bytes, answer: bool) -> None:
    waiting = asyncio.create_task(typed.terminal.ask(ASK))
    await eventually(lambda: typed.shown[-1:] == ["Send it? [y/N]"])
    assert typed.shown[0] == "\nalice in plan:\n2+2?\n"
    typed.keys.put(b"perhaps\n" + said[:1])
    typed.keys.put(said[1:] or b"\n")
    assert await waiting is answer
    assert typed.shown.count("Send it? [y/N]") == 2, "what is neither yes nor no is asked again"


async def test_what_was_typed_before_a_question_was_shown_answers_nothing(typed: Typed) -> None:
    typed.keys.put(b"y\ny\n")
    await eventually(lambda: typed.terminal._lines.qsize() == 2)
    waiting = asyncio.create_task(typed.terminal.ask(ASK))
    await eventually(lambda: typed.shown)
    typed.keys.put(b"n\n")
    assert await waiting is False


async def test_an_answer_elsewhere_leaves_the_next_line_to_the_next_question(typed: Typed) -> None:
    window = Place(True)
    window.go.set()
    assert await answer_of([typed.terminal, window], ASK) is True
    waiting = asyncio.create_task(typed.terminal.ask(ASK))
    await eventually(lambda: len(typed.shown) >= 3)
    typed.keys.put(b"y\n")
    assert await waiting is True
    assert "answered elsewhere" in typed.shown


async def test_a_terminal_that_ended_answers_nothing(typed: Typed) -> None:
    waiting = asyncio.create_task(typed.terminal.ask(ASK))
    await eventually(lambda: typed.shown)
    typed.keys.put(b"")
    assert await waiting is None
    assert await typed.terminal.ask(ASK) is None
