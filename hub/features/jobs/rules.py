"""What a job's rows mean and who may still act on it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from hub.core.errors import Conflict, NotFound
from hub.features.jobs.contract import JobState


class JobNotFound(NotFound):
    code, title = "job-not-found", "Job not found"


class StaleLease(Conflict):
    code, title = "stale-lease", "The lease is not yours any more"


class JobClosed(Conflict):
    code, title = "job-closed", "The job is closed"


@dataclass(frozen=True, slots=True)
class Lease:
    """The operational row of a job that was claimed at least once."""

    attempt: int
    token: str
    expires_at: int
    submitted_at: int | None
    outcome: JobState | None
    answer_seq: int | None
    pending: str | None = None
    partial: str | None = None
    revision: int = 0


def state(lease: Lease | None, *, is_open: bool, gone: bool, now_ms: int) -> JobState:
    """One word for where the job stands. A submitted job never becomes `queued` again."""
    if lease is not None and lease.outcome is not None:
        return lease.outcome
    if not is_open:
        return "answered"
    if gone:
        return "gone"
    if lease is None:
        return "queued"
    if lease.submitted_at is not None:
        return "submitted"
    return "leased" if lease.expires_at > now_ms else "queued"


def may_act(job: str, now: JobState, lease: Lease | None, token: str) -> Lease:
    """The lease, if `token` fences it and the job is open. Raises StaleLease or JobClosed.

    A lapsed lease that nobody claimed since still counts: refusing it would only lose an answer.
    """
    if lease is None or lease.token != token:
        raise StaleLease(f"job {job!r} is leased with another token; drop your work on it and claim again")
    if now in ("answered", "failed", "unknown", "gone"):
        raise JobClosed(f"job {job!r} is {now}; drop your work on it and claim the next")
    return lease
