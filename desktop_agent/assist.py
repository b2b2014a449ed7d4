"""Assist: the prompt goes onto the clipboard, the person pastes, sends and copies the answer back.

Nothing is typed and no window is touched, so this works on every desktop, Wayland included.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from desktop_agent.clipboard import Clipboard
from desktop_agent.jobs import Job, JobSource
from desktop_agent.tag import answer, prompt


class Outcome(Enum):
    """How a job ended."""

    ANSWERED = "answered"
    DECLINED = "declined"
    NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True)
class Person:
    """The person at the window: asked before anything is put on the clipboard, told what happens."""

    agrees: Callable[[Job], bool]
    told: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait for the copied answer, and how to pass the time between two looks."""

    give_up_s: float
    pause: Callable[[], Awaitable[None]]
    now_s: Callable[[], float] = time.monotonic


async def assist(job: Job, source: JobSource, clipboard: Clipboard, person: Person, pace: Pace, *, tag: str) -> Outcome:
    """Carry one job through the person's hands and settle it. Only text between this job's marks leaves."""
    if not person.agrees(job):
        await source.settle(job, "The person at this window declined to pass this on.", answered=False)
        return Outcome.DECLINED
    pasted = prompt(job.message.text, tag)
    before = clipboard.read()
    clipboard.write(pasted)
    person.told("The prompt is on the clipboard. Paste it, send it, then copy the whole answer with its marks.")
    try:
        text = await copied_answer(clipboard, person, pace, tag=tag)
    finally:
        if before and clipboard.read() == pasted:
            clipboard.write(before)
    if text is None:
        await source.settle(job, "No answer was copied back from this window in time.", answered=False)
        return Outcome.NO_ANSWER
    await source.settle(job, text, answered=True)
    return Outcome.ANSWERED


async def copied_answer(clipboard: Clipboard, person: Person, pace: Pace, *, tag: str) -> str | None:
    """The answer, once the clipboard holds it whole; None after `give_up_s`."""
    until_s = pace.now_s() + pace.give_up_s
    half = ""
    while pace.now_s() < until_s:
        copied = clipboard.read()
        text = answer(copied, tag)
        if text is not None:
            return text
        if f"⟦/{tag}⟧" not in copied and f"⟦{tag}⟧" in copied and copied != half:
            half = copied
            person.told("That copy has the beginning of the answer but not its end; copy all of it.")
        await pace.pause()
    return None
