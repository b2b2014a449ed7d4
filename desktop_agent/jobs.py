"""Jobs from the hub: one leased question at a time, kept alive while it is worked on, answered exactly once."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio

from hub.core.caller import Caller
from hub.core.errors import HubError, HubUnreachable, RateLimited, Unavailable
from hub.features.jobs.contract import ClaimJob, ExtendJob, FinishJob, Leased, Outcome, ReleaseJob, SubmitJob

_EXTENSIONS_PER_LEASE: Final = 3
AWAY: Final = (Unavailable, HubUnreachable, RateLimited)  # nothing is confirmed; the same call may work later


class LeaseLost(Exception):
    """The job is not ours any more: answered by somebody else, withdrawn, or leased again after a long silence."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """Answers the hub has not confirmed yet, one file each, readable by their owner only."""

    folder: Path

    def put(self, finish: FinishJob) -> Path:
        """Keep an answer until it is confirmed; it is on disk when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder / f"{finish.job}.json"
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(finish.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        return path

    def waiting(self) -> list[tuple[Path, FinishJob]]:
        """What is to be sent, oldest first. A damaged file is left where it is and skipped."""
        found = []
        for path in sorted(self.folder.glob("*.json"), key=lambda p: p.stat().st_mtime):
            try:
                found.append((path, FinishJob.model_validate(json.loads(path.read_text("utf-8")))))
            except (ValueError, OSError):
                continue
        return found


class LeasedJobs:
    """The questions addressed to one agent. `note` is told what happened to an answer that could not be given."""

    def __init__(
        self, hub: Caller, outbox: Outbox, *, lease_s: int = 60, note: Callable[[str], None] = lambda _: None
    ) -> None:
        self._hub = hub
        self._outbox = outbox
        self._lease_s = lease_s
        self._note = note

    async def next(self) -> Leased | None:
        """The oldest open question, leased; what was submitted before comes first. First sends what waits."""
        await self.flush()
        items = (await self._hub.call(ClaimJob(lease_s=self._lease_s))).items
        return items[0] if items else None

    async def submit(self, job: Leased) -> None:
        """Record that the send key is about to be pressed. Raises LeaseLost; any error means: do not press it."""
        await self._held(SubmitJob(room=job.room, job=job.job, lease_token=job.lease_token))

    async def release(self, job: Leased) -> None:
        """Give the job back at once; a hub that is away gives it back when the lease runs out."""
        try:
            await self._held(ReleaseJob(room=job.room, job=job.job, lease_token=job.lease_token))
        except (LeaseLost, *AWAY) as error:
            self._note(f"not released: {error}")

    async def finish(self, job: Leased, outcome: Outcome, text: str, error: str = "") -> None:
        """Answer whoever asked. On disk first: when the hub is away it goes out when the hub is back, and once."""
        fields: dict[str, Any] = {"room": job.room, "job": job.job, "lease_token": job.lease_token}
        self._outbox.put(FinishJob(outcome=outcome, text=text, error=error, **fields))
        await self.flush()

    async def flush(self) -> None:
        """Send answers that wait. Those the hub will never take are dropped and noted."""
        for path, finish in self._outbox.waiting():
            try:
                await self._hub.call(finish, key=f"desktop/{finish.job}/{finish.lease_token}")
            except AWAY as error:
                self._note(f"the answer to {finish.job} waits: {error.code}")
                return
            except HubError as error:
                self._note(f"the answer to {finish.job} is not wanted any more: {error.code}")
            path.unlink(missing_ok=True)

    @asynccontextmanager
    async def keeping(self, job: Leased) -> AsyncIterator[None]:
        """Extend the lease while the body runs. When it is lost, the body is cancelled and LeaseLost raised."""
        lost: list[LeaseLost] = []
        with anyio.CancelScope() as scope:
            beat = asyncio.create_task(self._extend(job, scope, lost))
            try:
                yield
            finally:
                beat.cancel()
        if scope.cancelled_caught and lost:
            raise lost[0]

    async def _extend(self, job: Leased, scope: anyio.CancelScope, lost: list[LeaseLost]) -> None:
        held = ExtendJob(room=job.room, job=job.job, lease_token=job.lease_token, lease_s=self._lease_s)
        while True:
            await asyncio.sleep(self._lease_s / _EXTENSIONS_PER_LEASE)
            try:
                await self._held(held)
            except AWAY:
                continue
            except LeaseLost as error:
                lost.append(error)
                scope.cancel()
                return

    async def _held(self, request: SubmitJob | ExtendJob | ReleaseJob) -> None:
        try:
            await self._hub.call(request)
        except AWAY:
            raise
        except HubError as error:
            raise LeaseLost(f"{error.detail} [{error.code}]") from error
