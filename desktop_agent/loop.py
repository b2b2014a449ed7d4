"""One window's work: take a question, carry it through the window, answer; whatever goes wrong is told or retried.

Nothing is typed twice: `submitted` is at the hub before Enter, and who finds it there only looks for the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from desktop_agent.attachments import Attachments
from desktop_agent.control import Pace, Rate, Stopped
from desktop_agent.driver import Driver
from desktop_agent.jobs import AWAY, LeasedJobs, LeaseLost
from desktop_agent.journal import Journal
from desktop_agent.tag import prompt, tag_of
from desktop_agent.window import Hitch, Refused
from hub.core.errors import HubError
from hub.features.jobs.contract import Leased
from hub.kernel.files.contract import SharedFile

# asks the person about a prompt and the files with it
Agrees = Callable[[Leased, Sequence[SharedFile]], Awaitable[bool]]
_FIRST_WAIT_S: Final = 2.0
_LAST_WAIT_S: Final = 30.0


class Ending(Enum):
    """How the agent's work on a job ended here."""

    ANSWERED = "answered"
    DECLINED = "declined"
    FAILED = "failed"
    UNKNOWN = "unknown"
    LOST = "not ours any more"
    LEFT = "left for later"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to try to send one prompt, and how long to wait for its answer."""

    send_s: float = 900
    answer_s: float = 900


@dataclass(slots=True)
class Worker:
    """Works on jobs of one window; `hands` lets one window act at a time.

    `agrees` asks the person before each prompt. `attests` asks them about what only they can see, also when they have
    said that they need not be asked before prompts.
    """

    jobs: LeasedJobs
    driver: Driver
    journal: Journal
    pace: Pace
    rate: Rate
    hands: asyncio.Lock
    agrees: Agrees
    attests: Callable[[str], Awaitable[bool]]
    attachments: Attachments
    secret: str
    limits: Limits = Limits()

    async def work(self, job: Leased) -> Ending:
        """Carry one job to its end. Raises Stopped when the person stops the agent."""
        try:
            with self.attachments.kept():
                async with self.jobs.keeping(job):
                    return await self._carry(job)
        except LeaseLost as error:
            self.journal.note("dropped", job=job.job, why=str(error))
            return Ending.LOST

    async def _carry(self, job: Leased) -> Ending:
        tag = tag_of(self.secret, job.job)
        if not job.submitted and (ending := await self._pass_on(job, tag)) is not None:
            return ending
        found = await self.driver.wait(tag, self.limits.answer_s, lambda: self._read(tag))
        if found is None:
            text = "The prompt was sent, but no complete answer was seen in the window in time. It is not sent again."
            await self.jobs.finish(job, "unknown", text, "no-answer")
            return Ending.UNKNOWN
        await self.jobs.finish(job, "answered", found)
        return Ending.ANSWERED

    async def _pass_on(self, job: Leased, tag: str) -> Ending | None:
        """Ask the person, then send; None when it was sent."""
        try:
            files = await self.attachments.listed(job)
        except Refused as error:
            return await self._failed(job, str(error))
        if not await self.agrees(job, files):
            await self.jobs.finish(job, "failed", "Nobody at this window agreed to pass this on.", "declined")
            return Ending.DECLINED
        if (left := self.driver.litter.names()) and await self.attests(
            f"Files of an earlier question ({left}) may still be attached in the window. Take them out. Are they out?"
        ):
            self.driver.litter.clear()
        return await self._send(job, tag)

    async def _send(self, job: Leased, tag: str) -> Ending | None:
        """Type and send, again and again while nothing was sent; None when it was, else how the job ended."""
        until_s, wait_s, why = self.pace.now_s() + self.limits.send_s, _FIRST_WAIT_S, "no time was left"
        recorded = False

        async def submit() -> None:
            nonlocal recorded
            recorded = True  # also when it fails: its outcome is unknown then
            await self.jobs.submit(job)

        while self.pace.now_s() < until_s:
            await self.pace.pause(self.rate.wait_s(self.pace.now_s()))
            try:
                files = await self.attachments.fetch(job)
                async with self.hands:
                    await self.driver.send(prompt(job.question.text, tag), submit, files)
                self.rate.count(self.pace.now_s())
                return None
            except Stopped as error:
                await self._give_back(job, recorded, str(error))
                raise
            except Refused as error:
                return await self._failed(job, str(error))
            except (Hitch, *AWAY) as error:
                why = str(error)
                self.journal.note("not sent", job=job.job, why=why)
            await self.pace.pause(wait_s)
            wait_s = min(wait_s * 2, _LAST_WAIT_S)
        return await self._failed(job, why)

    async def _failed(self, job: Leased, why: str) -> Ending:
        self.journal.note("not sent", job=job.job, why=why)
        await self.jobs.finish(job, "failed", f"Nothing was sent to the window: {why}.", "not-sent")
        return Ending.FAILED

    async def _give_back(self, job: Leased, recorded: bool, why: str) -> None:
        """Leave the job to a later start; when the hub may think it was sent, say that it was not."""
        if recorded:
            await self._failed(job, why)
        else:
            await self.jobs.release(job)

    async def _read(self, tag: str) -> str | None:
        async with self.hands:
            return await self.driver.read(tag)


async def serve(worker: Worker, ring: Callable[[], Awaitable[None]], *, once: bool = False) -> None:
    """Work on jobs as they come; `ring` returns when there may be one. A hub that is away is asked again later."""
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            job = await worker.jobs.next()
            wait_s = _FIRST_WAIT_S
        except AWAY as error:
            worker.journal.note("the hub is away", why=error.code)
            await worker.pace.pause(wait_s)
            wait_s = min(wait_s * 2, _LAST_WAIT_S)
            continue
        if job is None:
            await ring()
            continue
        try:
            ending = await worker.work(job)
        except HubError as error:
            worker.journal.note("failed", job=job.job, why=error.code)
            ending = Ending.LEFT
        worker.journal.note(ending.value, job=job.job, room=job.room)
        if once:
            return
