"""Claiming, submitting, extending, giving back and finishing jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from hub.core.call import Call
from hub.core.names import make_id
from hub.core.times import optional_rfc3339, rfc3339
from hub.features.jobs import rules
from hub.features.jobs.contract import (
    CLAIM,
    EXTEND,
    FINISH,
    GET,
    PROGRESS,
    RELEASE,
    SUBMIT,
    Claimed,
    ClaimJob,
    ExtendJob,
    FinishJob,
    GetJob,
    Job,
    JobState,
    Leased,
    ProgressSignal,
    ReleaseJob,
    ReportProgress,
    SubmitJob,
)
from hub.kernel.agents.project import need_agent
from hub.kernel.messages.draft import Draft
from hub.kernel.messages.post import answering, post
from hub.kernel.messages.project import GONE, find_view_row, load_message, message_seq, tombstone, view
from hub.kernel.rooms.project import Entered, enter, enter_to_write
from hub.log.handler import handles
from hub.log.log import agent_name, load_stream
from hub.log.tail import signal
from hub.storage.interface import Row, Tx

SIGNAL_CHARS: Final = 4000  # of a long answer its end, so that a signal a second stays small
Held = SubmitJob | ExtendJob | ReleaseJob | ReportProgress | FinishJob


@dataclass(frozen=True, slots=True)
class Found:
    """One recipient's job in a room, as it stands now."""

    entered: Entered
    seq: int
    agent: int
    state: JobState
    lease: rules.Lease | None


@handles(CLAIM)
def claim_job(tx: Tx, call: Call, request: ClaimJob) -> Claimed:
    if _busy(tx, call):
        return Claimed()
    row = _next(tx, call)
    return Claimed() if row is None else Claimed(items=(_lease(tx, call, row[0], row[1], request.lease_s),))


def _busy(tx: Tx, call: Call) -> bool:
    """Whether an open job of the caller is under a live lease."""
    row = tx.row(
        "select 1 from job join open_question o on o.log = job.log and o.seq = job.seq and o.name = :name"
        " join message m on m.log = job.log and m.seq = job.seq"
        " where agent = :agent and outcome is null and lease_expires_at > :now"
        " and m.flags & :gone = 0 and (m.expires_at is null or m.expires_at > :now)",
        agent=call.agent,
        name=call.principal.name,
        now=call.now_ms,
        gone=GONE,
    )
    return row is not None


def _next(tx: Tx, call: Call) -> Row | None:
    """The caller's next open question in a room it is in: what was submitted first, then the oldest.

    `delivery` ties a name to this registration of it; flags 11 are redacted, expired, purged.
    """
    return tx.row(
        "select o.log, o.seq from open_question o"
        " join delivery d on d.log = o.log and d.seq = o.seq and d.agent = :agent and d.addressed = 1"
        " join member on member.log = o.log and member.agent = :agent and member.access <> 'reader'"
        " join message m on m.log = o.log and m.seq = o.seq"
        " join event e on e.log = o.log and e.seq = o.seq"
        " left join job on job.log = o.log and job.seq = o.seq and job.agent = :agent"
        " where o.name = :name and m.flags & :gone = 0 and (m.expires_at is null or m.expires_at > :now)"
        " order by case when job.submitted_at is null then 1 else 0 end, e.at, o.log, o.seq limit 1",
        agent=call.agent,
        name=call.principal.name,
        now=call.now_ms,
        gone=GONE,
    )


def _lease(tx: Tx, call: Call, log: int, seq: int, lease_s: int) -> Leased:
    token, expires_at = "l" + call.random(16).hex(), call.now_ms + lease_s * 1000
    tx.run(
        "insert into job (log, seq, agent, attempt, token, lease_expires_at) values (:log, :seq, :agent, 1, :token, :exp)"
        " on conflict (log, seq, agent) do update"
        " set attempt = job.attempt + 1, token = excluded.token, lease_expires_at = excluded.lease_expires_at,"
        " pending = null, partial = null, revision = job.revision + 1",
        log=log,
        seq=seq,
        agent=call.agent,
        token=token,
        exp=expires_at,
    )
    held = _load_lease(tx, log, seq, call.agent)
    question = find_view_row(tx, log, seq)
    assert held is not None, "the lease was just written"
    assert question is not None, "an open question has its message"
    return Leased(
        job=make_id("m", log, seq),
        room=load_stream(tx, log).name,
        question=view(tx, question, call.now_ms),
        attempt=held.attempt,
        lease_token=token,
        lease_expires_at=rfc3339(expires_at),
        submitted=held.submitted_at is not None,
    )


@handles(GET)
def get_job(tx: Tx, call: Call, request: GetJob) -> Job:
    entered = enter(tx, call, request.room)
    agent = need_agent(tx, request.agent).id if request.agent else call.agent
    call.watch(entered.log, -agent)
    job = _view(_find(tx, call, entered, request.job, agent))
    closed = job.state in ("answered", "failed", "unknown", "gone")
    return job.model_copy(update={"fresh": closed or job.revision > request.after})


@handles(SUBMIT)
def submit_job(tx: Tx, call: Call, request: SubmitJob) -> Job:
    return _update(tx, call, _held(tx, call, request), submitted_at=call.now_ms)


@handles(EXTEND)
def extend_job(tx: Tx, call: Call, request: ExtendJob) -> Job:
    return _update(tx, call, _held(tx, call, request), expires_at=call.now_ms + request.lease_s * 1000)


@handles(PROGRESS)
def report_progress(tx: Tx, call: Call, request: ReportProgress) -> Job:
    found = _held(tx, call, request)
    tx.run(
        "update job set pending = :pending, partial = :partial, revision = revision + 1"
        " where log = :log and seq = :seq and agent = :agent",
        pending=request.pending or None,
        partial=request.partial or None,
        log=found.entered.log,
        seq=found.seq,
        agent=found.agent,
    )
    tx.wake(-found.agent)  # whoever waits in jobs.get; the worker's own readers look once and find nothing
    signal(tx, found.entered.log, _progress(call, request).model_dump_json().encode())
    return _update(tx, call, found, expires_at=call.now_ms + request.lease_s * 1000)


def _progress(call: Call, request: ReportProgress) -> ProgressSignal:
    return ProgressSignal(
        room=request.room,
        job=request.job,
        agent=call.principal.name,
        pending=request.pending,
        offset=max(0, len(request.partial) - SIGNAL_CHARS),
        text=request.partial[-SIGNAL_CHARS:],
    )


@handles(RELEASE)
def release_job(tx: Tx, call: Call, request: ReleaseJob) -> Job:
    return _update(tx, call, _held(tx, call, request), expires_at=call.now_ms)


@handles(FINISH)
def finish_job(tx: Tx, call: Call, request: FinishJob) -> Job:
    entered = enter_to_write(tx, call, request.room)
    found = _find(tx, call, entered, request.job, call.agent)
    if found.lease and found.lease.answer_seq is not None and found.lease.token == request.lease_token:
        return _view(found).model_copy(update={"deduplicated": True})
    rules.may_act(request.job, found.state, found.lease, request.lease_token)
    metadata: dict[str, Any] = {"job": {"outcome": request.outcome, "error": request.error or None}}
    draft = Draft(
        text=request.text,
        kind="answer",
        reply_to=request.job,
        metadata=metadata,
        attachments=request.attachments,
    )
    placed = post(tx, call, entered, answering(tx, call, entered, draft))
    tx.run(
        "update job set outcome = :outcome, answer_seq = :answer, pending = null, partial = null,"
        " revision = revision + 1 where log = :log and seq = :seq and agent = :agent",
        outcome=request.outcome,
        answer=placed.seq,
        log=entered.log,
        seq=found.seq,
        agent=call.agent,
    )
    return _view(_find(tx, call, entered, request.job, call.agent))


def _held(tx: Tx, call: Call, request: Held) -> Found:
    """The caller's job, fenced by the lease token."""
    entered = enter_to_write(tx, call, request.room)
    found = _find(tx, call, entered, request.job, call.agent)
    rules.may_act(request.job, found.state, found.lease, request.lease_token)
    return found


def _update(tx: Tx, call: Call, found: Found, *, submitted_at: int | None = None, expires_at: int | None = None) -> Job:
    """Change what is given, keep the rest; the first `submitted_at` stays."""
    tx.run(
        "update job set submitted_at = coalesce(submitted_at, :submitted),"
        " lease_expires_at = coalesce(:expires, lease_expires_at), revision = revision + 1"
        " where log = :log and seq = :seq and agent = :agent",
        submitted=submitted_at,
        expires=expires_at,
        log=found.entered.log,
        seq=found.seq,
        agent=found.agent,
    )
    return _view(_find(tx, call, found.entered, make_id("m", found.entered.log, found.seq), found.agent))


def _find(tx: Tx, call: Call, entered: Entered, job: str, agent: int) -> Found:
    seq = message_seq(entered.log, job)
    message = load_message(tx, entered.log, seq, job)
    asked = tx.row(
        "select 1 from delivery where log = :log and seq = :seq and agent = :agent and addressed = 1",
        log=entered.log,
        seq=seq,
        agent=agent,
    )
    if message.kind != "question" or asked is None:
        raise rules.JobNotFound(f"message {job!r} is no question to this agent; jobs.claim gives the ones that are")
    still = tx.row(
        "select 1 from open_question where log = :log and seq = :seq and name = :name",
        log=entered.log,
        seq=seq,
        name=agent_name(tx, agent),
    )
    lease = _load_lease(tx, entered.log, seq, agent)
    gone = tombstone(message, call.now_ms) is not None
    now = rules.state(lease, is_open=still is not None, gone=gone, now_ms=call.now_ms)
    return Found(entered, seq, agent, now, lease)


def _load_lease(tx: Tx, log: int, seq: int, agent: int) -> rules.Lease | None:
    row = tx.row(
        "select attempt, token, lease_expires_at, submitted_at, outcome, answer_seq, pending, partial, revision from job"
        " where log = :log and seq = :seq and agent = :agent",
        log=log,
        seq=seq,
        agent=agent,
    )
    return None if row is None else rules.Lease(*(row[i] for i in range(9)))


def _view(found: Found) -> Job:
    lease, log = found.lease, found.entered.log
    live = lease is not None and found.state in ("leased", "submitted")
    return Job(
        job=make_id("m", log, found.seq),
        room=found.entered.room.name,
        state=found.state,
        attempt=lease.attempt if lease else 0,
        submitted_at=optional_rfc3339(lease.submitted_at if lease else None),
        lease_expires_at=rfc3339(lease.expires_at) if live and lease else None,
        answer=make_id("m", log, lease.answer_seq) if lease and lease.answer_seq else None,
        pending=(lease.pending or "") if live and lease else "",
        partial=(lease.partial or "") if live and lease else "",
        revision=lease.revision if lease else 0,
    )
