"""Assist: the prompt goes onto the clipboard, the person pastes, sends and copies the answer back.

Nothing is typed and no window is touched, so this works on every desktop, Wayland included.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from desktop_agent.attachments import Attachments
from desktop_agent.clipboard import Clipboard, Guard, NoClipboard, guarded
from desktop_agent.control import Pace
from desktop_agent.jobs import LeasedJobs, LeaseLost
from desktop_agent.loop import Agrees, Ending
from desktop_agent.tag import answer, prompt
from desktop_agent.window import Refused
from hub.features.jobs.contract import Leased

_LOOK_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Person:
    """The person at the window: asked before anything is put on the clipboard, told what happens, asked for a hand."""

    agrees: Agrees
    told: Callable[[str], None]
    ready: Callable[[str], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Assistant:
    """Carries jobs through the person's hands."""

    jobs: LeasedJobs
    clipboard: Clipboard
    person: Person
    pace: Pace
    give_up_s: float
    attachments: Attachments

    async def work(self, job: Leased, *, tag: str) -> Ending:
        """Carry one job to its end. Only text between this job's marks leaves."""
        try:
            with self.attachments.kept():
                async with self.jobs.keeping(job):
                    return await self._carry(job, tag)
        except LeaseLost as error:
            self.person.told(str(error))
            return Ending.LOST

    async def _carry(self, job: Leased, tag: str) -> Ending:
        try:
            files = await self.attachments.listed(job)
            if not await self.person.agrees(job, files):
                return await self._declined(job)
            paths = () if job.submitted else await self.attachments.fetch(job)
        except Refused as error:
            await self.jobs.finish(job, "failed", f"Nothing was passed on to the window: {error}.", "not-sent")
            return Ending.FAILED
        with guarded(self.clipboard, self.person.told) as guard:
            if paths and not await self._files_pasted(paths, guard):
                return await self._declined(job)
            text = await self._through_the_clipboard(job, tag, guard)
        if text is None:
            await self.jobs.finish(job, "failed", "No answer was copied back from this window in time.", "no-answer")
            return Ending.FAILED
        await self.jobs.finish(job, "answered", text)
        return Ending.ANSWERED

    async def _declined(self, job: Leased) -> Ending:
        await self.jobs.finish(job, "failed", "Nobody at this window agreed to pass this on.", "declined")
        return Ending.DECLINED

    async def _files_pasted(self, paths: tuple[Path, ...], guard: Guard) -> bool:
        """Whether the person attached the files: they are on the clipboard, and also in a folder to drag them from."""
        try:
            self.clipboard.put_files(guard.note_files(paths))
            where = "on the clipboard: paste them into the window"
        except NoClipboard:
            where = "to be dragged into the window"
        names = ", ".join(path.name for path in paths)
        return await self.person.ready(f"The files {names} are {where}, from {paths[0].parent}. Are they attached?")

    async def _through_the_clipboard(self, job: Leased, tag: str, guard: Guard) -> str | None:
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
