"""Jobs: a question addressed to an agent, worked on under a lease until its one answer is posted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hub.core.model import Model
from hub.core.names import RoomName
from hub.core.operation import AnyOperation, Operation, Request, Result
from hub.kernel.inbox.contract import WaitS
from hub.kernel.messages.contract import Message, MessageId, Text

Outcome = Literal["answered", "failed", "unknown"]
JobState = Literal["queued", "leased", "submitted", "answered", "failed", "unknown", "gone"]
LeaseToken = Annotated[str, Field(min_length=8, max_length=64)]
LeaseSeconds = Annotated[int, Field(ge=5, le=3600)]


class Job(Result):
    """A question to an agent as work. Its id is the question's message id.

    `submitted` with a lapsed lease means: the prompt may have been sent; look for its answer, never send again.
    `gone`: the question was redacted or expired.
    """

    job: str
    room: str
    state: JobState
    attempt: int = Field(description="How often it was claimed; 0 before the first time.")
    submitted_at: str | None = None
    lease_expires_at: str | None = None
    answer: str | None = Field(default=None, description="Message id of the answer posted by jobs.finish.")
    pending: str = Field(default="", description="What an open job waits for, such as 'waiting for a person'.")
    partial: str = Field(default="", description="The answer so far, while it is being written. Not in the log.")
    revision: int = Field(default=0, description="Grows with every change; give it as `after` to wait for the next.")
    fresh: bool = Field(default=True, exclude=True, description="Whether a waiting jobs.get has what it waits for.")

    def settled(self) -> bool:
        return self.fresh


class ProgressSignal(Model):
    """How a job stands, for whoever follows the room at the hub that its worker talks to. Not in the log.

    `text` is the answer so far from character `offset` on: its end, so that losing a signal costs nothing.
    """

    type: Literal["job.progress"] = "job.progress"
    room: str
    job: str
    agent: str
    pending: str
    offset: int
    text: str


class Leased(Model):
    """A job handed to you, with the question and the token that every later step needs."""

    job: str
    room: str
    question: Message
    attempt: int
    lease_token: str
    lease_expires_at: str
    submitted: bool = Field(description="An earlier attempt pressed Send: look for the answer, never send again.")


class Claimed(Result):
    """At most one job; none while an earlier one of yours is still leased."""

    items: tuple[Leased, ...] = ()


class ClaimJob(Request[Claimed]):
    """Lease your oldest open question for `lease_s` seconds. One at a time per agent; what was submitted comes first."""

    lease_s: LeaseSeconds = 60


class GetJob(Request[Job]):
    """State of the job that a question is for one of its recipients; waits up to `wait_s` for it to change."""

    room: RoomName
    job: MessageId
    agent: str = Field(default="", max_length=64, description="Which recipient; default: you.")
    wait_s: WaitS = 0
    after: int = Field(default=-1, ge=-1, description="Revision you have seen; with wait_s: answer once it is passed.")


class _Held(Request[Job]):
    room: RoomName
    job: MessageId
    lease_token: LeaseToken


class SubmitJob(_Held):
    """Record that Send is about to be pressed. From now on no attempt may send this prompt again."""


class ExtendJob(_Held):
    """Keep the lease for `lease_s` more seconds from now."""

    lease_s: LeaseSeconds = 60


class ReportProgress(_Held):
    """Say what the job waits for and what there is of the answer, and keep the lease. Nothing of it enters the log."""

    pending: str = Field(default="", max_length=200, description="Such as 'waiting for a person'; empty: working.")
    partial: str = Field(default="", max_length=256 * 1024, description="The answer so far.")
    lease_s: LeaseSeconds = 60


class ReleaseJob(_Held):
    """Give the job back; it can be claimed again at once."""


class FinishJob(_Held):
    """Post the one answer, or the one error, and close the job in the same transaction. Repeating it posts nothing."""

    outcome: Outcome = "answered"
    text: Text = Field(description="The answer in Markdown, or what went wrong.")
    error: str = Field(default="", max_length=64, pattern=r"^[a-z0-9-]*$", description="Stable code of a failure.")
    attachments: tuple[str, ...] = Field(default=(), max_length=50, description="File ids of the room.")


_J = "/v1/rooms/{room}/jobs/{job}"
CLAIM = Operation("jobs.claim", "POST /v1/jobs/claim", "task:claim", ClaimJob, Claimed, lock="hub")
GET = Operation("jobs.get", f"GET {_J}", "room:read", GetJob, Job)
SUBMIT = Operation("jobs.submit", f"POST {_J}/submit", "task:claim", SubmitJob, Job)
EXTEND = Operation("jobs.extend", f"POST {_J}/extend", "task:claim", ExtendJob, Job)
PROGRESS = Operation("jobs.progress", f"POST {_J}/progress", "task:claim", ReportProgress, Job)
RELEASE = Operation("jobs.release", f"POST {_J}/release", "task:claim", ReleaseJob, Job)
FINISH = Operation("jobs.finish", f"POST {_J}/finish", "task:claim", FinishJob, Job)
OPERATIONS: list[AnyOperation] = [CLAIM, GET, SUBMIT, EXTEND, PROGRESS, RELEASE, FINISH]
