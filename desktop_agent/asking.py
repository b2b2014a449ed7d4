"""Asking the person: on the terminal and in the small window at once. The first answer counts, and only theirs."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

_YES: Final = frozenset({"y", "yes"})
_NO: Final = frozenset({"", "n", "no"})


@dataclass(frozen=True, slots=True)
class Ask:
    """Something only the person can decide: from whom, what it says, and the question about it."""

    title: str
    text: str
    question: str


class Asker(Protocol):
    """A place where the person can answer."""

    async def ask(self, ask: Ask) -> bool | None:
        """Their answer; None when nobody can answer here. Cancelled when they answered elsewhere."""
        ...


async def answer_of(askers: Sequence[Asker], ask: Ask) -> bool | None:
    """The first answer from any of the places; None when nobody can answer anywhere."""
    waiting = {asyncio.create_task(asker.ask(ask)) for asker in askers}
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                if one.result() is not None:
                    return one.result()
        return None
    finally:
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


class Terminal:
    """Questions on the terminal, one at a time.

    One thread reads all lines: a question that is answered elsewhere leaves no reader behind that takes the line meant
    for the next. What was typed before a question was shown answers nothing. `read` gives bytes, empty at the end.
    """

    def __init__(self, say: Callable[[str], None], read: Callable[[], bytes] | None = None) -> None:
        self._say = say
        self._read = read or (lambda: os.read(0, 4096))  # not sys.stdin: a thread in there breaks the end of Python
        self._turn = asyncio.Lock()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._ended = False
        self._reading: threading.Thread | None = None

    def start(self) -> None:
        """Begin to read, where the event loop runs. Without a question to come, don't: it stops a job in the background."""
        if self._reading is not None:
            return
        loop = asyncio.get_running_loop()
        self._reading = threading.Thread(target=self._follow, args=[loop], daemon=True)
        self._reading.start()

    async def ask(self, ask: Ask) -> bool | None:
        async with self._turn:
            self.start()
            while not self._lines.empty():
                self._ended = self._lines.get_nowait() is None or self._ended
            if self._ended:
                return None
            self._say(f"\n{ask.title}:\n{ask.text}\n" if ask.text else f"\n{ask.title}:")
            try:
                return await self._answer(f"{ask.question} [y/N]")
            except asyncio.CancelledError:
                self._say("answered elsewhere")
                raise

    async def _answer(self, question: str) -> bool | None:
        while True:
            self._say(question)
            line = await self._lines.get()
            if line is None:
                self._ended = True
                return None
            if line.strip().lower() in _YES | _NO:
                return line.strip().lower() in _YES

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        rest = b""
        try:
            while data := self._read():
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    loop.call_soon_threadsafe(self._lines.put_nowait, line.decode("utf-8", "replace"))
        except OSError:
            pass  # no standard input at all
        except RuntimeError:
            return  # the loop has ended
        try:
            loop.call_soon_threadsafe(self._lines.put_nowait, None)
        except RuntimeError:
            return
