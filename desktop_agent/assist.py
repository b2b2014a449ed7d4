"""Assist: the prompt goes onto the clipboard, the person pastes, sends and copies the answer back.

Nothing is typed and no window is touched, so this works on every desktop, Wayland included.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from desktop_agent.clipboard import Clipboard, guarded
from desktop_agent.control import Pace
from desktop_agent.jobs import LeasedJobs, LeaseLost
from desktop_agent.loop import Ending
from desktop_agent.tag import answer, prompt
from hub.features.jobs.contract import Leased

_LOOK_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Person:
    """The person at the window: asked before anything is put on the clipboard, told what happens."""

    agrees: Callable[[Leased], Awaitable[bool]]
    told: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Assistant:
    """Carries jobs through the person's hands."""

    jobs: LeasedJobs
    clipboard: Clipboard
    person: Person
    pace: Pace
    give_up_s: float

    async def work(self, job: Leased, *, tag: str) -> Ending:
        """Carry one job to its end. Only text between this job's marks leaves."""
        try:
            async with self.jobs.keeping(job):
                return await self._carry(job, tag)
        except LeaseLost as error:
            self.person.told(str(error))
            return Ending.LOST

    async def _carry(self, job: Leased, tag: str) -> Ending:
        if not await self.person.agrees(job):
            await self.jobs.finish(job, "failed", "The person at this window declined to pass this on.", "declined")
            return Ending.DECLINED
        text = await self._through_the_clipboard(job, tag)
        if text is None:
            await self.jobs.finish(job, "failed", "No answer was copied back from this window in time.", "no-answer")
            return Ending.FAILED
        await self.jobs.finish(job, "answered", text)
        return Ending.ANSWERED

    async def _through_the_clipboard(self, job: Leased, tag: str) -> str | None:
        with guarded(self.clipboard, self.person.told) as guard:
            if job.submitted:
                self.person.told("This was sent to the window before. Copy the whole answer with its marks.")
            else:
                self.clipboard.write(guard.note(prompt(job.question.text, tag)))
                self.person.told(
                    "The prompt is on the clipboard. Paste it, send it, then copy the whole answer with its marks."
                )
            return await self._copied_answer(tag)

    async def _copied_answer(self, tag: str) -> str | None:
        """The answer, once the clipboard holds it whole; None after `give_up_s`."""
        until_s = self.pace.now_s() + self.give_up_s
        half = ""
        while self.pace.now_s() < until_s:
            copied = self.clipboard.read()
            text = answer(copied, tag)
            if text is not None:
                return text
            if f"⟦/{tag}⟧" not in copied and f"⟦{tag}⟧" in copied and copied != half:
                half = copied
                self.person.told("That copy has the beginning of the answer but not its end; copy all of it.")
            await self.pace.pause(_LOOK_S)
        return None
